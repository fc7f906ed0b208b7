import { MARGIN } from "../plan.js";

const BEGAN = 0;
const FROM = 1;
const UNTIL = 2;
const END = 3;
const FIRST = 4;
const LAST = 5;

/**
 * Of a test that a time ends: how many messages there were in its middle, and how long that was; a margin
 * at either end does not count, as the other side may not be at work yet, or no more. Times are in an
 * array: see tick().
 */
export class Sampler {
  readonly #times = new Float64Array(6).fill(Infinity);
  readonly #durationNs: number;
  #first = -1;
  #last = -1;

  /** Null: no time ends the test. */
  constructor(durationNs: number | null) {
    this.#durationNs = durationNs ?? Infinity;
  }

  /** Before it nothing counts, and nothing is over. */
  begin(clock: Float64Array): void {
    const times = this.#times;
    const began = clock[0]!;
    times[BEGAN] = began;
    times[FROM] = began + MARGIN * this.#durationNs;
    times[UNTIL] = began + (1 - MARGIN) * this.#durationNs;
    times[END] = began + this.#durationNs;
  }

  /** So many messages have been, in all, at this time; false: the time is over. */
  goesOn(messages: number, clock: Float64Array): boolean {
    const times = this.#times;
    const time = clock[0]!;
    if (time < times[FROM]!) return true;
    if (this.#first < 0) {
      this.#first = messages;
      times[FIRST] = time;
    } else if (this.#last < 0 && time >= times[UNTIL]!) {
      this.#last = messages;
      times[LAST] = time;
    }
    return time < times[END]!;
  }

  /** What counts is over. */
  get isDone(): boolean {
    return this.#last >= 0;
  }

  /** That counted; 0 where the time was too short for any. */
  get messages(): number {
    return this.isDone ? this.#last - this.#first : 0;
  }

  get runtimeNs(): number {
    return this.isDone ? this.#times[LAST]! - this.#times[FIRST]! : 0;
  }

  sinceBegin(clock: Float64Array): number {
    return clock[0]! - this.#times[BEGAN]!;
  }
}
