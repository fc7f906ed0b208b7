import assert from "node:assert/strict";
import fc from "fast-check";
import { parseMessage } from "#lib/exchange/message.js";
import { Lines } from "#lib/exchange/lines.js";
import type { Listener } from "#lib/exchange/listener.js";
import { Stranger, isServed, listen } from "../../support/exchange.js";

const hello = JSON.stringify({ p2pmem: 2, role: "copy", nonce: null });

/** What a peer that is broken, or means harm, may say. A failure names its seed. */
const garbage = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 3000 }),
  fc.string({ unit: "binary", minLength: 1, maxLength: 500 }),
  fc.json({ maxDepth: 12 }).map((line) => `${line}\n`),
  fc.nat(20_000).map((depth) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}\n`),
  fc.nat(20_000).map((depth) => `${"[".repeat(depth)}\n`),
  fc.integer({ min: 1, max: 200_000 }).map((length) => `"${"x".repeat(length)}"\n`),
  fc.constantFrom(
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    '{"__proto__":{"p2pmem":2,"role":"copy","nonce":null}}\n',
    '{"p2pmem":"1","role":["copy"],"nonce":7}\n',
    '{"error":{"code":"X","message":"y"}}\n',
    '{"error":{"code":"x y","message":{}}}\n',
    "null\n",
    "\n\n\n\n",
    "\0\n",
    '{"p2pmem":1e999,"role":"copy","nonce":null}\n',
  ),
);

describe("A listener that is sent garbage", function () {
  this.timeout(120_000);
  let listener: Listener;

  before(async () => {
    listener = await listen({ timeoutMs: 20_000 });
  });
  after(() => listener.close());

  it("serves the next client, whatever was said, before a greeting or after one", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(garbage, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        fc.constantFrom("end", "vanish", "stay"),
        async (pieces, isGreeted, leave) => {
          const stranger = new Stranger(listener.port);
          if (isGreeted) stranger.socket.write(`${hello}\n`);
          for (const piece of pieces) stranger.socket.write(piece);
          if (leave === "end") stranger.socket.end();
          await served(listener);
          stranger.vanish();
        },
      ),
      { numRuns: 300, endOnFailure: true },
    );
  });

  /** Strangers that have just gone may still count. */
  async function served({ port }: Listener): Promise<void> {
    for (;;)
      try {
        assert.ok(await isServed(port));
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== "TOO_MANY_CLIENTS") throw error;
      }
  }
});

describe("Lines of messages", () => {
  it("are the same however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme" }).filter((line) => !line.includes("\n"))),
        fc.array(fc.nat(40)),
        (lines, cuts) => {
          const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
          const cutter = new Lines(10_000);
          const found: string[] = [];
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            found.push(...cutter.push(bytes.subarray(at, at + cut)));
            at += cut;
          }
          assert.deepEqual(found, lines);
        },
      ),
    );
  });

  it("are too long from the limit on, with their end or before it has come", () => {
    assert.deepEqual([...new Lines(4).push(Buffer.from("abc\nabc\n"))], ["abc", "abc"]);
    assert.throws(() => [...new Lines(4).push(Buffer.from("abcd\n"))], { code: "BAD_MESSAGE" });
    const cutter = new Lines(4);
    assert.deepEqual([...cutter.push(Buffer.from("abcd"))], []);
    assert.throws(() => [...cutter.push(Buffer.from("e"))], { code: "BAD_MESSAGE" });
    assert.throws(() => [...new Lines(4).push(Buffer.of(0xff, 0x0a))], /not UTF-8/);
  });

  it("are JSON objects of few levels; brackets within texts are none", () => {
    assert.deepEqual(parseMessage('{"a":"[[[[[[[[[[{{{\\"[[["}'), { a: '[[[[[[[[[[{{{"[[[' });
    const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    assert.ok(parseMessage(nested(8)));
    assert.throws(() => parseMessage(nested(9)), { code: "BAD_MESSAGE", message: /8 levels/ });
    for (const line of ["", "[]", "null", "1", '"a"', "{", "{}x"])
      assert.throws(() => parseMessage(line), { code: "BAD_MESSAGE" });
  });
});
