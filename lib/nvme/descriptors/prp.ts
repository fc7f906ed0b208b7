/**
 * Physical region pages (NVMe 1.4 §4.3): how a command says where its data is. PRP 1 is the first
 * page and may start inside it; PRP 2 is the second and last page, or else points to a list of
 * pages. The last slot of a list page holds a data page if that is the last one, and only otherwise
 * a pointer to the next list page.
 */
import { P2pError } from "../../errors.js";
import type { DmaVector } from "../../sgl/dma-vector.js";
import { PAGE, PRP_BYTES } from "../spec.js";

const HIGH = 2 ** 32;
const SLOTS = PAGE / PRP_BYTES;

/** Memory for PRP lists: contiguous for the device too. A DmaBuffer is one. */
export interface PrpListMemory {
  readonly buffer: ArrayBuffer;
  readonly iova: number;
}

/**
 * Bytes to set aside for the PRP list of a transfer of `length` bytes, wherever in a page its data
 * starts. Lists packed at multiples of it in page-aligned memory fit: none crosses a page that it
 * need not.
 */
export function prpListBytes(length: number): number {
  const entries = Math.ceil(length / PAGE);
  if (entries <= 1) return 0;
  if (entries <= SLOTS) return 2 ** Math.ceil(Math.log2(entries)) * PRP_BYTES;
  return Math.ceil((entries - 1) / (SLOTS - 1)) * PAGE;
}

/**
 * Whether PRPs can say it at all: every piece but the first starts at a page, every piece but the
 * last ends at one, and the first is dword aligned. Parts of what they can say they can say too, if
 * cut at multiples of a page. Errors: BAD_RANGE, UNALIGNED.
 */
export function checkPrp(vector: DmaVector, offset: number, length: number): void {
  if (length <= 0 || offset < 0 || offset + length > vector.byteLength)
    throw new P2pError(
      "BAD_RANGE",
      `bytes ${offset} to ${offset + length} are not in a buffer of ${vector.byteLength} bytes`,
    );
  const { addresses, lengths, count } = vector;
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
    if (start % (first ? 4 : PAGE) !== 0 || (left > 0 && (start + bytes) % PAGE !== 0))
      throw new P2pError(
        "UNALIGNED",
        `NVMe cannot address a buffer that has ${bytes} bytes at 0x${start.toString(16)} ` +
          (first ? "as its first piece" : "as a further piece"),
        {
          hint: "start it at a multiple of 4 bytes, and let every piece but the first and last be whole 4 KiB pages",
        },
      );
  }
}

/** Builds the PRPs of one transfer after another: the list in memory, the entries in its fields. */
export class PrpBuilder {
  /** What goes into the command, as signed 32-bit halves. */
  prp1Lo = 0;
  prp1Hi = 0;
  prp2Lo = 0;
  prp2Hi = 0;

  readonly #list: Int32Array;
  readonly #iova: number;

  constructor(memory: PrpListMemory) {
    this.#list = new Int32Array(memory.buffer);
    this.#iova = memory.iova;
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
    listBytes = prpListBytes(length),
  ): void {
    checkPrp(vector, offset, length);
    const { addresses, lengths } = vector;
    let piece = 0;
    let skip = offset;
    while (skip >= lengths[piece]!) skip -= lengths[piece++]!;
    let address = addresses[piece]! + skip;
    let end = addresses[piece]! + lengths[piece]!;
    this.prp1Lo = address | 0;
    this.prp1Hi = (address / HIGH) | 0;
    this.prp2Lo = 0;
    this.prp2Hi = 0;

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
        this.prp2Lo = address | 0;
        this.prp2Hi = (address / HIGH) | 0;
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
      this.prp2Lo = start | 0;
      this.prp2Hi = (start / HIGH) | 0;
    }
  }

  #put(slot: number, listEnd: number, address: number): void {
    if (slot + PRP_BYTES > listEnd)
      throw new P2pError("BAD_RANGE", `a PRP list does not fit in the room it was given`);
    this.#list[slot >>> 2] = address | 0;
    this.#list[(slot >>> 2) + 1] = (address / HIGH) | 0;
  }
}
