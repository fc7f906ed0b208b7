/**
 * Counts the transfers that use a piece of memory, as the kernel counts the users of a page
 * (linux/mm/gup.c): whoever lets the memory go asks here, and it goes when the last one has ended.
 */
export class Pins {
  #count = 0;
  /** To be called at the last unpin(). */
  #release: (() => void) | null = null;

  get isPinned(): boolean {
    return this.#count > 0;
  }

  pin(): void {
    this.#count++;
  }

  /** Once for each pin(). Errors: those of what waited for it. */
  unpin(): void {
    if (--this.#count > 0) return;
    const release = this.#release;
    this.#release = null;
    release?.();
  }

  /** Calls `release` once nothing is pinned: at once, or in unpin(). The last one given counts. */
  whenFree(release: () => void): void {
    if (this.#count === 0) release();
    else this.#release = release;
  }
}
