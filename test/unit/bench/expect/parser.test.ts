import assert from "node:assert/strict";
import fc from "fast-check";
import { format } from "#lib/bench/expect/expression.js";
import { parseExpectation } from "#lib/bench/expect/parser.js";
import { P2pError } from "#lib/errors.js";
import { arbitraryExpression } from "../../../support/expressions.js";

/** As it is read, printed again with its one spelling. */
const read: [text: string, printed: string][] = [
  ["p2p.bw_bytes / host.bw_bytes >= 0.9", "p2p.bw_bytes / host.bw_bytes >= 0.9"],
  ["p2p.traffic.host_memory_bytes == 0", "p2p.traffic.host_memory_bytes == 0"],
  ["verify.mismatches == 0", "verify.mismatches == 0"],
  ["lat_ns.p99 < 500us", "lat_ns.p99 < 500us"],
  ["  lat_ns.p99<500 US ", "lat_ns.p99 < 500us"],
  ['p2p.lat_ns.percentile["99.9"] < 2ms', "p2p.lat_ns.p99.9 < 2ms"],
  ["p2p.lat_ns.percentile['99.90'] < 2ms", "p2p.lat_ns.p99.9 < 2ms"],
  ["read.lat_ns.percentile[50] < write.lat_ns.p50", "read.lat_ns.p50 < write.lat_ns.p50"],
  ["lat_ns.p99.9 < 1s", "lat_ns.p99.9 < 1s"],
  ["nvme-copy.iops > 1", "nvme_copy.iops > 1"],
  ["nvme_copy.iops-kernel-host.iops > 1", "nvme_copy.iops - kernel_host.iops > 1"],
  ["kernel_p2p.iops > 1", "kernel_p2p.iops > 1"],
  ["rdma-p2p.iops-rdma_host.iops > 1", "rdma_p2p.iops - rdma_host.iops > 1"],
  ["rdma-p2p.rdma.src.host_memory_bytes == 0", "rdma_p2p.rdma.src.host_memory_bytes == 0"],
  // The path cpu, and the field.
  ["cpu.bw_bytes > 1", "cpu.bw_bytes > 1"],
  ["cpu.usr_pct > 1", "cpu.usr_pct > 1"],
  ["cpu.cpu.usr_pct > 1", "cpu.cpu.usr_pct > 1"],
  ["iops > 1 and iops < 5 or bs == 4k", "iops > 1 and iops < 5 or bs == 4k"],
  ["iops > 1 && (iops < 5 || bs == 4KiB)", "iops > 1 and (iops < 5 or bs == 4kib)"],
  ["not iops > 1 and iops < 5", "not iops > 1 and iops < 5"],
  ["!(iops > 1 and iops < 5)", "not (iops > 1 and iops < 5)"],
  ["iops - 1 - 2 > -3", "iops - 1 - 2 > -3"],
  ["iops - (1 - 2) > - -3", "iops - (1 - 2) > --3"],
  ["(iops + 1) * 2 > iops + 1 * 2", "(iops + 1) * 2 > iops + 1 * 2"],
  ["max(iops, 1e3, .5) > abs(-iops)", "max(iops, 1000, 0.5) > abs(-iops)"],
  ["iops >\n  1", "iops > 1"],
];

/** With what is wrong, where, and what is to be done. */
const refused: [text: string, column: number, what: RegExp, hint?: RegExp][] = [
  ["", 1, /empty/],
  ["   ", 1, /empty/],
  ["1 + 2", 6, /expected a comparison: 1 \+ 2 is a number/, /compare it/],
  ["iops", 5, /expected a comparison/],
  ["1 < 2", 1, /names nothing that was measured/],
  ["iops >", 7, /expected a number, a name .* found the end/],
  ["iops > 1 and", 13, /expected .* found the end/],
  ["iops > and", 8, /found "and"/],
  ["iops > * 2", 8, /found "\*"/],
  ["(iops > 1", 10, /expected \) for the \( in column 1, found the end/],
  ["iops > 1)", 9, /expected and, or, or the end, found "\)"/],
  ["iops > 1 bs", 10, /expected and, or, or the end, found "bs"/],
  ["iops > 1 2", 10, /expected and, or, or the end, found 2/],
  ["iops = 1", 6, /write ==/],
  ["iops > 1 & bs > 1", 10, /write &&/],
  ["iops > 1 | bs > 1", 10, /write \|\|/],
  ["iops > 3 @ 2", 10, /"@" has no meaning/],
  ["1 < iops < 2", 10, /do not chain/, /a < b and b < c/],
  ["iops == iops == 1", 14, /do not chain/],
  ["iops and bs > 1", 1, /"and" wants on its left a comparison, and iops is none/],
  ["bs > 1 or iops", 11, /"or" wants on its right a comparison/],
  ["1 + (iops > 2) > 1", 5, /"\+" wants on its right a number, and iops > 2 is none/],
  ["not iops", 5, /"not" wants a comparison/],
  ["-(iops > 1) > 1", 2, /"-" wants a number/],
  ["iops > 5min", 9, /"min" is no unit/, /ns, us, ms, s/],
  ["iops > 1e999", 8, /too large/],
  ["min(iops) > 1", 1, /min takes two arguments or more, not 1/],
  ["abs(iops, 1) > 1", 1, /abs takes one argument, not 2/],
  ["max(iops, 3 > 2) > 1", 11, /max wants a number/],
  ["sqrt(iops) > 1", 1, /no function sqrt/, /abs, min, max/],
  ["p2p.bw > 1", 1, /no number "p2p\.bw"/, /did you mean p2p\.bw_bytes\?/],
  ["p2p.bw_byte > 1", 1, /no number/, /did you mean p2p\.bw_bytes\?/],
  ["p2.bw_bytes > 1", 1, /no number/, /did you mean p2p\.bw_bytes\?/],
  ["hots.lat_ns.p99 > 1", 1, /no number/, /did you mean host\.lat_ns\.p99\?/],
  ["verfiy.mismatches > 1", 1, /no number/, /did you mean verify\.mismatches\?/],
  ["lat.p99 > 1", 1, /no number/, /did you mean lat_ns\.p99\?/],
  ["lat_ns.p0 > 1", 1, /no number/],
  ["lat_ns.p100.1 > 1", 1, /no number/],
  ["traffic.source == 1", 1, /no number "traffic\.source"/, /names are those of the JSON/],
  ["toString > 1", 1, /no number/],
  ["__proto__.x > 1", 1, /no number/],
  ["p2p. > 1", 5, /a field's name after the dot/],
  ["samples.bw_bytes[0] > 1", 17, /samples\.bw_bytes is no list/],
  ["lat_ns.percentile[x] > 1", 18, /percentile in quotes/],
  ["cpu.usr_pct < 50%", 13, /in percent already/, /write 50/],
  ["5% > p2p.cpu.sys_pct", 4, /in percent already/],
  [`${"(".repeat(200)}iops > 1`, 101, /nested too deeply/],
  [`iops > 1${" + 1".repeat(1000)}`, 2004, /too long/],
];

function mistakeOf(text: string): P2pError {
  try {
    parseExpectation(text);
  } catch (error) {
    assert.ok(error instanceof P2pError, String(error));
    return error;
  }
  assert.fail(`"${text}" was read`);
}

describe("reading expectations", () => {
  for (const [text, printed] of read)
    it(`reads ${text.trim()}`, () => {
      const expectation = parseExpectation(text);
      assert.equal(format(expectation.expression), printed);
      assert.equal(expectation.text, text.trim());
    });

  for (const [text, column, what, hint] of refused)
    it(`refuses "${text.slice(0, 40)}" in column ${column}`, () => {
      const error = mistakeOf(text);
      assert.equal(error.code, "BAD_EXPRESSION");
      assert.ok(error.isUsage);
      assert.equal(/^column (\d+): /.exec(error.message)?.[1], String(column), error.message);
      assert.match(error.message, what);
      if (hint !== undefined) assert.match(error.hint ?? "", hint);
    });

  it("shows the line and a caret below the mistake, also behind tabs and in a later line", () => {
    assert.equal(mistakeOf("iops >= 1 +").excerpt, "iops >= 1 +\n           ^");
    assert.equal(mistakeOf("\tiops = 1").excerpt, "\tiops = 1\n\t     ^");
    const later = mistakeOf("iops > 1 and\n  p2p.iop > 2\n  and bs > 1");
    assert.match(later.message, /^line 2, column 3: /);
    assert.equal(later.excerpt, "  p2p.iop > 2\n  ^");
  });

  it("reads what it prints as the same expression again", () => {
    fc.assert(
      fc.property(arbitraryExpression, (expression) => {
        const text = format(expression);
        assert.deepEqual(parseExpectation(text).expression, expression, text);
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses whatever else is typed with a BAD_EXPRESSION, and nothing but that", () => {
    const pieces = ["p2p", ".", "iops", "(", ")", "and", "not", "-", "<", "==", "3", "ms", "%"];
    const word = fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 3 }));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        try {
          parseExpectation(words.join(" "));
        } catch (error) {
          assert.ok(error instanceof P2pError && error.code === "BAD_EXPRESSION", String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
