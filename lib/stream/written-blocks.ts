import type { DestinationJob } from "./job.js";

/** How far a source may run ahead of the first block that is missing: a bit for each, 32 KiB of them. */
export const BLOCKS_AHEAD = 2 ** 18;

/**
 * Which blocks of a range are written: how many from its begin on, with no gap, for the owner to see; of
 * those beyond the gap it remembers so many. And which may come next.
 */
export class WrittenBlocks {
  readonly #ahead: number;
  readonly #mostAhead: number;
  readonly #end: number;
  readonly #exactlyOnce: boolean;
  /** By a block's number modulo `ahead`. */
  readonly #bits: Uint32Array;
  /** See DestinationJob.written. */
  readonly #prefix: Float64Array;
  /** The highest number that has come, and how many may come yet: in arrays, as they may be large. */
  readonly #furthest = new Float64Array(1);
  readonly #left = new Float64Array(1);

  constructor(
    job: Pick<
      DestinationJob,
      "written" | "firstBlock" | "rangeBlocks" | "ahead" | "slots" | "exactlyOnce"
    >,
  ) {
    this.#ahead = job.ahead;
    this.#mostAhead = job.ahead - job.slots;
    this.#end = job.rangeBlocks;
    this.#exactlyOnce = job.exactlyOnce;
    this.#bits = new Uint32Array(job.ahead / 32);
    this.#prefix = new Float64Array(job.written, 0, 1);
    this.#prefix[0] = job.firstBlock;
    this.#furthest[0] = job.firstBlock;
    this.#left[0] = job.exactlyOnce ? job.rangeBlocks - job.firstBlock : Infinity;
  }

  /** A block of the range has come: false where it may not, now. */
  accept(block: number): boolean {
    const distance = block - this.#prefix[0]!;
    if (distance >= this.#ahead || (this.#exactlyOnce && distance < 0)) return false;
    // One that comes again before it is known to be written takes the place of another.
    if (this.#left[0] === 0) return false;
    this.#left[0]!--;
    if (block > this.#furthest[0]!) this.#furthest[0] = block;
    return true;
  }

  /** So far that no credit may be given before what is missing has come: no source then runs too far. */
  get isFarAhead(): boolean {
    if (this.#furthest[0]! - this.#prefix[0]! < this.#mostAhead) return false;
    this.publish();
    return this.#furthest[0]! - this.#prefix[0]! >= this.#mostAhead;
  }

  /** All that must come has. */
  get isComplete(): boolean {
    this.publish();
    return !this.#exactlyOnce || this.#prefix[0] === this.#end;
  }

  /** One that was accepted is written. */
  add(block: number): void {
    if (block < this.#prefix[0]!) return;
    const at = block % this.#ahead;
    this.#bits[at >>> 5]! |= 1 << (at & 31);
  }

  /** To be called now and then. A torn value cannot be: an aligned double is one store. */
  publish(): void {
    const bits = this.#bits;
    let block = this.#prefix[0]!;
    for (;;) {
      const at = block % this.#ahead;
      const word = at >>> 5;
      const bit = at & 31;
      if (bit === 0 && bits[word] === 0xffff_ffff) {
        bits[word] = 0;
        block += 32;
      } else if (((bits[word]! >>> bit) & 1) === 1) {
        bits[word]! &= ~(1 << bit);
        block++;
      } else break;
    }
    this.#prefix[0] = block;
  }
}
