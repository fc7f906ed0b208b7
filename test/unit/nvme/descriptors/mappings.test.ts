import assert from "node:assert/strict";
import type { DataPointerBuilder } from "#lib/nvme/descriptors/data-pointer.js";
import { PrpBuilder } from "#lib/nvme/descriptors/prp.js";
import { SglBuilder } from "#lib/nvme/descriptors/sgl.js";
import { PRP_TABLE } from "./prp.table.js";
import { SGL_TABLE } from "./sgl.table.js";
import {
  descriptorsOf,
  entriesOf,
  LIST_BYTES,
  LIST_IOVA,
  numberOf,
  pairOf,
  sectionsOf,
  transferOf,
} from "./table.js";

const TYPES = ["D", "B", "S", "L"];

const join = (low: number, high: number): number => (low >>> 0) + (high >>> 0) * 2 ** 32;
const wordsOf = ({ word0, word1, word2, word3 }: DataPointerBuilder): number[] => [
  word0,
  word1,
  word2,
  word3,
];

/** Nothing but what the table has may be in the list's memory. */
function assertList(words: Int32Array, at: number, expected: number[], text: string): void {
  const all = new Int32Array(LIST_BYTES / 4);
  all.set(expected, at / 4);
  assert.deepEqual(words, all, text);
}

const low = (value: number): number => value | 0;
const high = (value: number): number => Math.floor(value / 2 ** 32) | 0;

function checkPrpRow(cells: string[], text: string): void {
  const [pieces = "", part = "", at = "", expected = "", list = ""] = cells;
  const { vector, offset, length } = transferOf(pieces, part);
  const buffer = new ArrayBuffer(LIST_BYTES);
  const builder = new PrpBuilder({ buffer, iova: LIST_IOVA });
  const start = numberOf(at);
  const build = (): void => {
    builder.build(vector, offset, length, start, LIST_BYTES - start);
  };
  if (expected.startsWith("! ")) {
    assert.throws(build, { code: expected.slice(2) }, text);
    assertList(new Int32Array(buffer), 0, [], text);
    return;
  }
  build();
  const { word0, word1, word2, word3, flags } = builder;
  assert.deepEqual([join(word0, word1), join(word2, word3)], pairOf(expected), text);
  assert.equal(flags, 0);
  const entries = entriesOf(list).flatMap((entry) => [low(entry), high(entry)]);
  assertList(new Int32Array(buffer), start, entries, text);
}

function checkSglRow(cells: string[], text: string): void {
  const [pieces = "", part = "", at = "", buckets = "", expected = "", list = ""] = cells;
  const { vector, offset, length } = transferOf(pieces, part);
  const buffer = new ArrayBuffer(LIST_BYTES);
  const builder = new SglBuilder({ buffer, iova: LIST_IOVA });
  const start = numberOf(at);
  const [lead = 0, trail = 0] = pairOf(buckets);
  const build = (): void => {
    builder.build(vector, offset, length, start, LIST_BYTES - start, lead, trail);
  };
  if (expected.startsWith("! ")) {
    assert.throws(build, { code: expected.slice(2) }, text);
    assertList(new Int32Array(buffer), 0, [], text);
    return;
  }
  build();
  const words = (cell: string): number[] =>
    descriptorsOf(cell).flatMap(([type, address, bytes]) => [
      low(address),
      high(address),
      bytes | 0,
      TYPES.indexOf(type) << 28,
    ]);
  assert.deepEqual(wordsOf(builder), words(expected), text);
  assert.equal(builder.flags, 1 << 14); // PSDT 01b
  assertList(new Int32Array(buffer), start, words(list), text);
}

for (const [what, table, check] of [
  ["PRPs", PRP_TABLE, checkPrpRow],
  ["SGLs", SGL_TABLE, checkSglRow],
] as const)
  describe(`${what} worked out by hand`, () => {
    const sections = sectionsOf(table);
    for (const { title, rows } of sections)
      it(`${title} (${rows.length})`, () => {
        for (const { cells, text } of rows) check(cells, text);
      });

    it("are a hundred cases and more, each another", () => {
      const texts = sections.flatMap(({ rows }) => rows.map(({ text }) => text));
      assert.ok(texts.length >= 100, `${texts.length}`);
      assert.equal(new Set(texts).size, texts.length);
    });
  });
