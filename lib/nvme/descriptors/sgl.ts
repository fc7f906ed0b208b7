/**
 * Scatter gather lists (NVMe 1.4 §4.4): descriptors of 16 bytes, each a piece of data of any length.
 * The command holds the first. Where one does not say it all, it leads to a segment of others; the
 * last descriptor of a segment may lead to the next one. What leads to the last segment is called
 * Last Segment, so that a controller knows at once that it has seen the whole list.
 *
 * A segment never leaves its page. The specification would let it, but Linux gives a controller none
 * that is longer than a page, and those of SPDK are shorter.
 */
import { P2pError } from "../../errors.js";
import type { DmaVector } from "../../sgl/dma-vector.js";
import { PAGE, SGL_BYTES, SGL_TYPE_SHIFT, SglType, SQE_PSDT_SGL } from "../spec.js";
import type { DataPointerBuilder } from "./data-pointer.js";
import { checkPart, listRoom, listTooSmall, type ListMemory } from "./lists.js";
import type { SglSupport } from "./sgl-support.js";

const HIGH = 2 ** 32;
const SLOTS = PAGE / SGL_BYTES;
/** Before and after the data of a command. */
const MOST_BUCKETS = 2;

/** Bytes to set aside for the SGL of a transfer of so many descriptors: see {@link listRoom}. */
export function sglListBytes(descriptors: number): number {
  return listRoom(descriptors, SGL_BYTES);
}

/**
 * Pieces of data that one command may have if its list has `listBytes`. No more than a page of
 * descriptors, which is what Linux gives a controller at most: longer chains are little tried. QEMU
 * (nvme_map_sgl) refuses those in which two segments of one length follow each other before the last:
 * it reads each segment over the one before, and then takes the second's end for what led to it.
 */
export function sglPieces(listBytes: number): number {
  return Math.max(1, Math.min(listBytes / SGL_BYTES, SLOTS) - MOST_BUCKETS);
}

/** Number of pieces that `length` bytes of `vector` lie in. */
export function countPieces(vector: DmaVector, offset: number, length: number): number {
  const { lengths, count } = vector;
  let skip = offset;
  let left = length;
  let pieces = 0;
  for (let i = 0; i < count && left > 0; i++) {
    const piece = lengths[i]!;
    if (skip >= piece) {
      skip -= piece;
      continue;
    }
    left -= piece - skip;
    skip = 0;
    pieces++;
  }
  return pieces;
}

/** What SGLs of a transfer in commands of whole blocks must keep to. */
export interface SglRules {
  alignment: SglSupport["alignment"];
  /** Bytes, as `skip`: what is not wanted of the first block. */
  blockSize: number;
  skip: number;
  /** Of one block. */
  maxPieces: number;
}

/**
 * Whether SGLs may describe these bytes: all dword aligned where the controller asks for that, and no
 * block in too many pieces. Errors: BAD_RANGE, UNALIGNED, TOO_MANY_SEGMENTS.
 */
export function checkSgl(
  vector: DmaVector,
  offset: number,
  length: number,
  { alignment, blockSize, skip, maxPieces }: SglRules,
): void {
  checkPart(vector, offset, length);
  const grain = alignment === "dword" ? 4 : 1;
  const { addresses, lengths, count } = vector;
  if (skip % grain !== 0) throw unaligned(skip, "before the part of a block that is wanted");
  let before = offset;
  let left = length;
  let inBlock = skip;
  let pieces = 0;
  for (let i = 0; i < count && left > 0; i++) {
    const piece = lengths[i]!;
    if (before >= piece) {
      before -= piece;
      continue;
    }
    const start = addresses[i]! + before;
    const bytes = Math.min(piece - before, left);
    before = 0;
    left -= bytes;
    if (start % grain !== 0 || bytes % grain !== 0)
      throw unaligned(bytes, `at 0x${start.toString(16)}`);
    if (++pieces > maxPieces)
      throw new P2pError(
        "TOO_MANY_SEGMENTS",
        `a block of ${blockSize} bytes lies in more than ${maxPieces} pieces`,
        { hint: "let the buffer have larger pieces" },
      );
    inBlock += bytes;
    // What this piece has of the block that it ends in.
    if (inBlock >= blockSize) pieces = inBlock % blockSize === 0 ? 0 : 1;
    inBlock %= blockSize;
  }
}

function unaligned(bytes: number, where: string): P2pError {
  return new P2pError(
    "UNALIGNED",
    `this controller's SGLs take multiples of 4 bytes, not ${bytes} bytes ${where}`,
    { hint: "let every piece start at a multiple of 4 bytes, and have one as its length" },
  );
}

/** Builds the SGLs of one transfer after another: segments in memory, the first descriptor in fields. */
export class SglBuilder implements DataPointerBuilder {
  /** Address (low half first), length, and the type in the last byte. */
  word0 = 0;
  word1 = 0;
  word2 = 0;
  word3 = 0;
  readonly flags = SQE_PSDT_SGL;

  readonly #list: Int32Array;
  readonly #iova: number;
  // Where the list that is being built goes on, where its room ends, and how much of it is to come.
  #slot = 0;
  #end = 0;
  #left = 0;

  constructor(memory: ListMemory) {
    this.#list = new Int32Array(memory.buffer);
    this.#iova = memory.iova;
  }

  fit(vector: DmaVector, offset: number, length: number, listBytes: number): number {
    const { lengths, count } = vector;
    let room = sglPieces(listBytes);
    let skip = offset;
    let fit = 0;
    for (let i = 0; i < count && fit < length && room > 0; i++) {
      const piece = lengths[i]!;
      if (skip >= piece) {
        skip -= piece;
        continue;
      }
      fit += piece - skip;
      skip = 0;
      room--;
    }
    return Math.min(fit, length);
  }

  /**
   * Describes `length` bytes (below 4 GiB) of `vector` from `offset` on. The controller throws away
   * `lead` bytes before them and `trail` after (bit buckets: for reads). Segments, if any are
   * needed, go to `listOffset` of the list memory (a multiple of 16) and take at most `listBytes`
   * there. Errors: BAD_RANGE.
   */
  build(
    vector: DmaVector,
    offset: number,
    length: number,
    listOffset: number,
    listBytes: number,
    lead = 0,
    trail = 0,
  ): void {
    checkPart(vector, offset, length);
    const { addresses, lengths } = vector;
    const buckets = (lead > 0 ? 1 : 0) + (trail > 0 ? 1 : 0);
    const count = countPieces(vector, offset, length) + buckets;
    let piece = 0;
    let skip = offset;
    while (skip >= lengths[piece]!) skip -= lengths[piece++]!;
    if (count === 1) {
      this.#say(addresses[piece]! + skip, length, SglType.DATA_BLOCK);
      return;
    }
    this.#slot = listOffset;
    this.#end = listOffset + listBytes;
    this.#left = count;
    this.#say(this.#iova + listOffset, this.#segmentBytes(), this.#segmentType());
    if (lead > 0) this.#put(0, lead, SglType.BIT_BUCKET);
    for (let left = length; left > 0; piece++) {
      const bytes = Math.min(lengths[piece]! - skip, left);
      if (bytes > 0) this.#put(addresses[piece]! + skip, bytes, SglType.DATA_BLOCK);
      left -= bytes;
      skip = 0;
    }
    if (trail > 0) this.#put(0, trail, SglType.BIT_BUCKET);
  }

  /** Descriptors from here to the end of the page. */
  #slotsInPage(): number {
    return SLOTS - (this.#slot % PAGE) / SGL_BYTES;
  }

  /** Bytes of the segment that begins here. */
  #segmentBytes(): number {
    return Math.min(this.#left, this.#slotsInPage()) * SGL_BYTES;
  }

  /** What leads to the segment that begins here. */
  #segmentType(): number {
    return this.#left <= this.#slotsInPage() ? SglType.LAST_SEGMENT : SglType.SEGMENT;
  }

  #say(address: number, length: number, type: number): void {
    this.word0 = address | 0;
    this.word1 = (address / HIGH) | 0;
    this.word2 = length | 0;
    this.word3 = type << SGL_TYPE_SHIFT;
  }

  #put(address: number, length: number, type: number): void {
    if (this.#left > 1 && this.#slotsInPage() === 1) {
      const pointer = this.#slot;
      this.#slot += SGL_BYTES;
      const next = this.#iova + this.#slot;
      this.#store(pointer, next, this.#segmentBytes(), this.#segmentType());
    }
    this.#store(this.#slot, address, length, type);
    this.#slot += SGL_BYTES;
    this.#left--;
  }

  #store(slot: number, address: number, length: number, type: number): void {
    if (slot + SGL_BYTES > this.#end) throw listTooSmall();
    const at = slot >>> 2;
    this.#list[at] = address | 0;
    this.#list[at + 1] = (address / HIGH) | 0;
    this.#list[at + 2] = length | 0;
    this.#list[at + 3] = type << SGL_TYPE_SHIFT;
  }
}
