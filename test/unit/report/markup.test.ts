import assert from "node:assert/strict";
import { html, jsonData, verbatim } from "#lib/report/markup.js";

describe("markup", () => {
  it("escapes whatever is put in, in text and in attributes", () => {
    const hostile = `</script><img src=x onerror="alert('1')">&amp;`;
    assert.equal(
      html`<p title="${hostile}">${hostile}</p>`.toString(),
      `<p title="${escaped(hostile)}">${escaped(hostile)}</p>`,
    );
  });

  it("leaves markup as it is, joins lists, and writes nothing for null", () => {
    const items = ["a<b", html`<b>c</b>`, null, 4];
    assert.equal(html`<p>${items}</p>`.toString(), "<p>a&lt;b<b>c</b>4</p>");
    assert.equal(html`${verbatim("<i>")}${null}`.toString(), "<i>");
  });

  it("holds no character that a document must not hold", () => {
    assert.equal(html`${"a\u0000b\u001bc\td\n"}`.toString(), "a\ufffdb\ufffdc\td\n");
  });

  it("keeps data from ending the script that holds them", () => {
    const data = { name: "</script><!--<script>" };
    const text = jsonData(data).toString();
    assert.ok(!text.includes("<"));
    assert.deepEqual(JSON.parse(text), data);
  });
});

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
