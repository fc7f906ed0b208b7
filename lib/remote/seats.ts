import { P2pError } from "../errors.js";

interface Seat {
  recall(): void;
  readonly left: Promise<void>;
}

/** The copies that a server serves, so many at a time. One that comes back takes its own place. */
export class Seats {
  readonly #limit: number;
  readonly #taken = new Map<string, Seat>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * What the same copy had in flight by a connection that broke is recalled and waited for, so that nothing
   * of it arrives later. `recall`: called for that when this connection is the one that broke. Returns what
   * gives the place back: call it when nothing is in flight any more. Errors: TOO_MANY_CLIENTS.
   */
  async take(copy: string, recall: () => void): Promise<() => void> {
    for (let own; (own = this.#taken.get(copy)) !== undefined;) {
      own.recall();
      await own.left;
    }
    if (this.#taken.size >= this.#limit)
      throw new P2pError("TOO_MANY_CLIENTS", `the server has its ${this.#limit} clients`, {
        hint: "try again when one of them has finished, or let it take more: --max-connections",
      });
    return new Promise((resolve) => {
      const left = new Promise<void>((leave) => {
        resolve(() => {
          this.#taken.delete(copy);
          leave();
        });
      });
      this.#taken.set(copy, { recall, left });
    });
  }
}
