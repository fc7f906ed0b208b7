import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { renderHtml } from "#lib/report/html.js";
import { benchReport, benchResult } from "../../support/bench-report.js";
import { hostileReport, MARK } from "../../support/hostile-report.js";
import { pathsReport } from "../../support/paths-report.js";

describe("an HTML report", () => {
  it("has a policy that allows its own styles and scripts, and nothing else", () => {
    const page = renderHtml(benchReport());
    const [, policy] = /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(page) ?? [];
    assert.match(policy ?? "", /^default-src 'none'; /);
    assert.doesNotMatch(policy ?? "", /unsafe|https?:|data:/);
    const inline = [...page.matchAll(/<(style|script)>(.*?)<\/\1>/gs)];
    assert.equal(inline.length, 4);
    for (const [, , text] of inline) {
      const hash = createHash("sha256").update(text!).digest("base64");
      assert.ok(policy?.includes(`'sha256-${hash}'`));
    }
    // The policy would drop them, without a word in the page.
    assert.doesNotMatch(page.replace(/<script>.*?<\/script>/gs, ""), /\s(style|on\w+)="/);
  });

  it("escapes all that a machine or a job file says", () => {
    const page = renderHtml(hostileReport());
    assert.ok(page.includes("&lt;img src=x"));
    assert.ok(!page.includes(MARK));
    const calm = renderHtml(benchReport());
    const elements = (text: string): number => text.match(/<(script|img|style)\b/g)?.length ?? 0;
    assert.equal(elements(page), elements(calm));
  });

  it("says unknown of what is not known", () => {
    const base = benchResult();
    const page = renderHtml({
      ...benchReport(),
      results: [
        {
          ...base,
          lat_ns: null,
          cpu: { ...base.cpu, busy_ns_per_block: null },
          traffic: { ...base.traffic, host_memory_bytes: null, links: null },
          samples: { ...base.samples, bw_bytes_ci: null, iops_ci: null, drift: null },
        },
      ],
    });
    const table = /All figures of sweep.*?<\/table>/s.exec(page)?.[0] ?? "";
    const cells = [...table.matchAll(/<t[dh][^>]*>\s*([^<]*?)\s*<\/t[dh]>/g)].map(
      ([, text]) => text!,
    );
    const half = cells.length / 2;
    const cell = (title: string): string | undefined => cells[half + cells.indexOf(title)];
    for (const title of ["interval", "drift", "latency mean", "max", "driver a block"])
      assert.equal(cell(title), "unknown", title);
    assert.equal(cell("host memory B/B"), "unknown");
    assert.equal(cell("root complex B/B"), "0");
  });

  it("says so where there is nothing to compare, or nothing at all", () => {
    const none = renderHtml({ ...benchReport(), results: [] });
    assert.match(none, /Nothing here says what peer-to-peer gains/);
    assert.match(none, /Incomplete: the run ended early/);
  });

  it("says above all figures what failed, is wrong, or was not met", () => {
    const whole = { ...benchReport(), incomplete: false };
    const verdict = renderHtml(whole).split('id="verdict"')[1]!.split("</section>")[0]!;
    assert.match(verdict, /Wrong data in 1 of 35 results/);
    assert.match(verdict, /1 of 35 results failed/);
    assert.match(verdict, /2 of 3 expectations not met/);
    assert.doesNotMatch(verdict, /Incomplete|interrupted/);
    const good = whole.results.filter(({ verify, failed }) => verify === null && failed === null);
    const clean = renderHtml({ ...whole, results: good, expectations: [] });
    assert.doesNotMatch(clean.split('id="verdict"')[1]!.split("</section>")[0]!, /badge/);
  });

  it("gives the command so that a shell reads it back word by word", () => {
    const page = renderHtml({ ...benchReport(), command: ["p2pmem", "bench", "it's a job.yaml"] });
    assert.ok(page.includes("p2pmem bench &#39;it&#39;\\&#39;&#39;s a job.yaml&#39;"));
  });

  it("takes a few hundred kilobytes", () => {
    assert.ok(renderHtml(pathsReport()).length < 400_000);
  });
});
