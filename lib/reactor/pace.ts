/** How late an I/O may begin and the next still keep to its own time, nanoseconds. */
const SLACK_NS = 100e3;

/**
 * Spaces the begins of I/Os, by a clock that its caller reads: one each so many nanoseconds. An I/O that
 * begins a little late, since a poll took its time, takes nothing from the next one; whoever was kept
 * from running for longer goes on from there, and makes up for nothing by a burst.
 */
export class Pace {
  /** In arrays, as all times of poll loops are: see tick(). */
  readonly #spacingNs = new Float64Array(1);
  readonly #next = new Float64Array(1);
  readonly #slackNs: number;

  constructor(spacingNs: number) {
    this.#spacingNs[0] = spacingNs;
    this.#slackNs = Math.max(spacingNs, SLACK_NS);
  }

  /** The first one may begin at once. */
  start(clock: Float64Array): void {
    this.#next[0] = clock[0]!;
  }

  isDue(clock: Float64Array): boolean {
    return clock[0]! >= this.#next[0]!;
  }

  /** Nanoseconds until one is due; 0: it is. */
  untilDue(clock: Float64Array): number {
    return Math.max(0, this.#next[0]! - clock[0]!);
  }

  /** One begins now. */
  spend(clock: Float64Array): void {
    const next = this.#next[0]! + this.#spacingNs[0]!;
    const least = clock[0]! - this.#slackNs;
    this.#next[0] = next < least ? clock[0]! + this.#spacingNs[0]! : next;
  }
}
