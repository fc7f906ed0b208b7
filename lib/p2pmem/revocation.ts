import type { P2pError } from "../errors.js";
import { tryAll } from "../try-all.js";

/** Told why, once. */
export type RevokeListener = (error: P2pError) => void;

/** That what was handed out is gone, once and for ever; and which holders are to be told. */
export class Revocation<Holder extends object> {
  #error: P2pError | null = null;
  readonly #listeners = new Map<Holder, RevokeListener[]>();

  /** Why; null as long as all is well. */
  get error(): P2pError | null {
    return this.#error;
  }

  /** Calls `listener` when it happens, unless the holder is forgotten before; at once if it has. */
  listen(holder: Holder, listener: RevokeListener): void {
    if (this.#error) {
      listener(this.#error);
      return;
    }
    const listeners = this.#listeners.get(holder);
    if (listeners) listeners.push(listener);
    else this.#listeners.set(holder, [listener]);
  }

  /** The holder has let go. */
  forget(holder: Holder): void {
    if (this.#listeners.size > 0) this.#listeners.delete(holder);
  }

  /**
   * Tells every holder that is not forgotten meanwhile, as one listener may let go for others, too.
   * The first error that a listener throws is thrown again after the last one was told. Idempotent.
   */
  revoke(error: P2pError): void {
    if (this.#error) return;
    this.#error = error;
    try {
      tryAll(this.#calls(error));
    } finally {
      this.#listeners.clear();
    }
  }

  *#calls(error: P2pError): Iterable<() => void> {
    for (const [holder, listeners] of this.#listeners)
      for (const listener of listeners) {
        if (!this.#listeners.has(holder)) break;
        yield () => {
          listener(error);
        };
      }
  }
}
