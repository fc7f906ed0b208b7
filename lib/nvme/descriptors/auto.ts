import type { DmaVector } from "../../sgl/dma-vector.js";
import { PAGE, PRP_BYTES, SGL_BYTES } from "../spec.js";
import type { DataPointerBuilder } from "./data-pointer.js";
import type { ListMemory } from "./lists.js";
import { isSaidByPrps, PrpBuilder } from "./prp.js";
import { countPieces, SglBuilder, sglPieces } from "./sgl.js";

/**
 * For a controller that takes both: whichever makes it read the shorter list, since it reads that
 * before it moves a byte, and PRPs where it is all one. So PRPs describe what two entries can; an SGL
 * describes a longer piece without any list (as Linux does it); and scattered pieces of a page or
 * two get a PRP list. So do scattered pieces of a peer's memory: where that is the controller's own
 * CMB or PMR, QEMU takes an SGL's first segment only from there too (nvme_map_addr).
 */
export function isShorterAsSgl(vector: DmaVector, offset: number, length: number): boolean {
  const pieces = countPieces(vector, offset, length);
  if (pieces > 1 && vector.isPeer) return false;
  const sgl = pieces <= 1 ? 0 : pieces * SGL_BYTES;
  // As PRPs can say it, all pages but the first are full, or the last of all.
  const inFirst = (startOf(vector, offset) % PAGE) + length;
  const pages = Math.ceil(inFirst / PAGE);
  return sgl < (pages <= 2 ? 0 : (pages - 1) * PRP_BYTES);
}

function startOf({ addresses, lengths }: DmaVector, offset: number): number {
  let piece = 0;
  let skip = offset;
  while (skip >= lengths[piece]!) skip -= lengths[piece++]!;
  return addresses[piece]! + skip;
}

/** Builds PRPs or an SGL, for each transfer what suits it. Only for data that has been checked. */
export class AutoBuilder implements DataPointerBuilder {
  word0 = 0;
  word1 = 0;
  word2 = 0;
  word3 = 0;
  flags = 0;
  readonly #prps: PrpBuilder;
  readonly #sgls: SglBuilder;

  constructor(memory: ListMemory) {
    this.#prps = new PrpBuilder(memory);
    this.#sgls = new SglBuilder(memory);
  }

  fit(
    vector: DmaVector,
    offset: number,
    length: number,
    listBytes: number,
    isPart: boolean,
  ): number {
    if (!isPart && isSaidByPrps(vector, offset, length)) return length;
    return this.#sgls.fit(vector, offset, length, listBytes);
  }

  build(
    vector: DmaVector,
    offset: number,
    length: number,
    listOffset: number,
    listBytes: number,
    lead = 0,
    trail = 0,
  ): void {
    const byPrps =
      lead === 0 &&
      trail === 0 &&
      isSaidByPrps(vector, offset, length) &&
      (!isShorterAsSgl(vector, offset, length) ||
        countPieces(vector, offset, length) > sglPieces(listBytes));
    const builder = byPrps ? this.#prps : this.#sgls;
    builder.build(vector, offset, length, listOffset, listBytes, lead, trail);
    this.word0 = builder.word0;
    this.word1 = builder.word1;
    this.word2 = builder.word2;
    this.word3 = builder.word3;
    this.flags = builder.flags;
  }
}
