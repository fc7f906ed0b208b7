import { P2pError } from "../errors.js";

/** Blocks that are confirmed together: from `first` on. */
export interface BlockSpan {
  first: number;
  count: number;
}

/** Bytes of a window, about, and blocks of it, at most: their sums go in one message. */
const WINDOW_BYTES = 64 * 2 ** 20;
export const MAX_WINDOW_BLOCKS = 4096;
/** Windows that the destination has told of and the source has not looked at yet. */
const MAX_UNANSWERED = 4;
/** Less than a whole window is confirmed when so much time has passed: milliseconds. */
const DUE_MS = 500;

export function windowBlocks(bs: number): number {
  return Math.max(1, Math.min(MAX_WINDOW_BLOCKS, Math.floor(WINDOW_BYTES / bs)));
}

/** What of a stream's blocks, in their order, has been told to the other side, and what it confirmed. */
export class Windows {
  readonly #end: number;
  readonly #size: number;
  #announced: number;
  #confirmed: number;
  /** Where those end that have been told of and not confirmed, in their order. */
  readonly #open: number[] = [];
  #announcedAt: number;

  /** `first` to `end`: the blocks of the stream; `size`: of a window. `now`: milliseconds. */
  constructor(first: number, end: number, size: number, now: number) {
    this.#end = end;
    this.#size = size;
    this.#announced = first;
    this.#confirmed = first;
    this.#announcedAt = now;
  }

  /** All before this one are confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  get isDone(): boolean {
    return this.#confirmed === this.#end;
  }

  /** What to flush and tell of next, if it is time: `written` of the blocks are, with no gap. */
  next(written: number, now: number): BlockSpan | null {
    const count = Math.min(written - this.#announced, this.#size);
    if (count <= 0 || this.#open.length === MAX_UNANSWERED) return null;
    const isDue =
      count === this.#size || written === this.#end || now - this.#announcedAt >= DUE_MS;
    return isDue ? { first: this.#announced, count } : null;
  }

  announce({ count }: BlockSpan, now: number): void {
    this.#announced += count;
    this.#announcedAt = now;
    this.#open.push(this.#announced);
  }

  /** The other side says that all before `end` arrived: the next window. Errors: BAD_MESSAGE. */
  confirm(end: number): void {
    if (end !== this.#open[0])
      throw new P2pError("BAD_MESSAGE", `blocks up to ${end} are not those to be confirmed`);
    this.#confirmed = end;
    this.#open.shift();
  }

  /**
   * At the source: what the other side tells of must be what comes next, and no more than a window.
   * Errors: BAD_MESSAGE.
   */
  assertNext({ first, count }: BlockSpan): void {
    const isWindow = count >= 1 && count <= this.#size && first + count <= this.#end;
    if (first !== this.#announced || !isWindow)
      throw new P2pError("BAD_MESSAGE", `blocks from ${first} on are not those that are due`);
  }
}
