import assert from "node:assert/strict";

export interface Element {
  name: string;
  attributes: Record<string, string>;
  children: Element[];
  /** All text in it, blanks between elements left out. */
  text: string;
}

/** The document's element. Knows what JUnit's results are made of, and asserts that there is no more. */
export function readXml(xml: string): Element {
  const root: Element = { name: "", attributes: {}, children: [], text: "" };
  const open = [root];
  // `>` in an attribute is escaped by the writer, so that a tag ends at the first.
  for (const [, tag, text] of xml.replace(/^<\?xml [^>]*\?>/, "").matchAll(/<([^>]*)>|([^<]+)/g)) {
    const element = open.at(-1)!;
    if (tag === undefined) element.text += element.children.length > 0 ? "" : unescape(text!);
    else if (tag.startsWith("/")) assert.equal(open.pop()!.name, tag.slice(1));
    else {
      const name = /^[\w-]+/.exec(tag)![0];
      const found = [...tag.matchAll(/ ([\w-]+)="([^"]*)"/g)];
      const attributes = Object.fromEntries(
        found.map(([, key, value]) => [key!, unescape(value!)]),
      );
      const child: Element = { name, attributes, children: [], text: "" };
      element.children.push(child);
      if (!tag.endsWith("/")) open.push(child);
    }
  }
  assert.deepEqual(open, [root]);
  return root.children[0]!;
}

function unescape(text: string): string {
  return text.replaceAll(/&(?:#(\d+)|(\w+));/g, (_, code: string | undefined, name: string) =>
    code === undefined
      ? { lt: "<", gt: ">", amp: "&", quot: '"' }[name as "lt"]
      : String.fromCharCode(Number(code)),
  );
}
