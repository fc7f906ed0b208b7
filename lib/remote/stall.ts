/** In so many looks a limit passes. */
const LOOKS = 8;
/** The longest that a timer waits. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Says when nothing has moved for too long. It counts looks, not time: a process that stood still itself
 * has seen nothing move either.
 */
export class Stall {
  #timer: NodeJS.Timeout | undefined;
  #idleLooks = 0;

  /** `onStall` is called once, with the limit in seconds. */
  constructor(limitMs: number, onStall: (seconds: number) => void) {
    this.limit(limitMs, onStall);
  }

  moved(): void {
    this.#idleLooks = 0;
  }

  /** Another limit, from now on. */
  limit(limitMs: number, onStall: (seconds: number) => void): void {
    this.stop();
    this.#idleLooks = 0;
    this.#timer = setInterval(
      () => {
        if (++this.#idleLooks < LOOKS) return;
        this.stop();
        onStall(limitMs / 1000);
      },
      Math.min(limitMs / LOOKS, LONGEST_MS),
    );
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
