/**
 * Physical region pages (NVMe 1.4 §4.3): how a command says where its data is. PRP 1 is the first
 * page and may start inside it; PRP 2 is the second and last page, or else points to a list of
 * pages. The last slot of a list page holds a data page if that is the last one, and only otherwise
 * a pointer to the next list page.
 */
import { P2pError } from "../../errors.js";
import type { DmaVector } from "../../sgl/dma-vector.js";
import { PAGE, PRP_BYTES } from "../spec.js";
import type { DataPointerBuilder } from "./data-pointer.js";
import { checkPart, listRoom, listTooSmall, type ListMemory } from "./lists.js";

const HIGH = 2 ** 32;

/** Bytes to set aside for the PRP list of a transfer of `length` bytes: see {@link listRoom}. */
export function prpListBytes(length: number): number {
  // One entry for each page after the first; if the data starts inside one there is one page more.
  return listRoom(Math.ceil(length / PAGE), PRP_BYTES);
}

/**
 * Whether PRPs can say it at all: every piece but the first starts at a page, every piece but the
 * last ends at one, and the first is dword aligned. Parts of what they can say they can say too, if
 * cut at multiples of a page. Errors: BAD_RANGE, UNALIGNED.
 */
export function checkPrp(vector: DmaVector, offset: number, length: number): void {
  checkPart(vector, offset, length);
  const wrong = firstUnsaid(vector, offset, length);
  if (wrong < 0) return;
  const { addresses, lengths } = vector;
  let at = offset;
  for (let i = 0; i < wrong; i++) at -= lengths[i]!;
  const isFirst = at >= 0;
  const start = addresses[wrong]! + Math.max(at, 0);
  const bytes = Math.min(lengths[wrong]! - Math.max(at, 0), length + Math.min(at, 0));
  throw new P2pError(
    "UNALIGNED",
    `PRPs cannot address a buffer that has ${bytes} bytes at 0x${start.toString(16)} ` +
      (isFirst ? "as its first piece" : "as a further piece"),
    {
      hint: "start it at a multiple of 4 bytes, and let every piece but the first and last be whole 4 KiB pages",
    },
  );
}

/** The same as an answer, for bytes that the vector has. */
export function isSaidByPrps(vector: DmaVector, offset: number, length: number): boolean {
  return firstUnsaid(vector, offset, length) < 0;
}

/** Index of the first piece that PRPs cannot say, or -1. */
function firstUnsaid(
  { addresses, lengths, count }: DmaVector,
  offset: number,
  length: number,
): number {
  let skip = offset;
  let left = length;
  for (let i = 0; i < count && left > 0; i++) {
    const piece = lengths[i]!;
    if (skip >= piece) {
      skip -= piece;
      continue;
    }
    const start = addresses[i]! + skip;
    const bytes = Math.min(piece - skip, left);
    const first = left === length;
    left -= bytes;
    skip = 0;
    if (start % (first ? 4 : PAGE) !== 0 || (left > 0 && (start + bytes) % PAGE !== 0)) return i;
  }
  return -1;
}

/** Builds the PRPs of one transfer after another: the list in memory, the entries in its fields. */
export class PrpBuilder implements DataPointerBuilder {
  /** PRP 1 and PRP 2, each low half first, as signed 32-bit halves. */
  word0 = 0;
  word1 = 0;
  word2 = 0;
  word3 = 0;
  readonly flags = 0;

  readonly #list: Int32Array;
  readonly #iova: number;

  constructor(memory: ListMemory) {
    this.#list = new Int32Array(memory.buffer);
    this.#iova = memory.iova;
  }

  /** A list has room for as much as was set aside for it. */
  fit(_vector: DmaVector, _offset: number, length: number): number {
    return length;
  }

  /**
   * Describes `length` bytes of `vector` from `offset` on. A list, if one is needed, goes to
   * `listOffset` of the list memory (a multiple of 8) and takes at most `listBytes` there.
   * Errors: BAD_RANGE, UNALIGNED.
   */
  build(
    vector: DmaVector,
    offset: number,
    length: number,
    listOffset: number,
    listBytes: number,
  ): void {
    checkPrp(vector, offset, length);
    const { addresses, lengths } = vector;
    let piece = 0;
    let skip = offset;
    while (skip >= lengths[piece]!) skip -= lengths[piece++]!;
    let address = addresses[piece]! + skip;
    let end = addresses[piece]! + lengths[piece]!;
    this.word0 = address | 0;
    this.word1 = (address / HIGH) | 0;
    this.word2 = 0;
    this.word3 = 0;

    const further = Math.ceil(((address % PAGE) + length) / PAGE) - 1;
    address += PAGE - (address % PAGE);
    const listEnd = listOffset + listBytes;
    let slot = listOffset;
    for (let i = 0; i < further; i++, address += PAGE) {
      while (address >= end) {
        address = addresses[++piece]!;
        end = address + lengths[piece]!;
      }
      if (further === 1) {
        this.word2 = address | 0;
        this.word3 = (address / HIGH) | 0;
        return;
      }
      const lastInPage = slot % PAGE === PAGE - PRP_BYTES;
      if (lastInPage && i < further - 1) {
        this.#put(slot, listEnd, this.#iova + slot + PRP_BYTES);
        slot += PRP_BYTES;
      }
      this.#put(slot, listEnd, address);
      slot += PRP_BYTES;
    }
    if (further > 1) {
      const start = this.#iova + listOffset;
      this.word2 = start | 0;
      this.word3 = (start / HIGH) | 0;
    }
  }

  #put(slot: number, listEnd: number, address: number): void {
    if (slot + PRP_BYTES > listEnd) throw listTooSmall();
    this.#list[slot >>> 2] = address | 0;
    this.#list[(slot >>> 2) + 1] = (address / HIGH) | 0;
  }
}
