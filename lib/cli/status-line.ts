/** How often the line changes, at most. */
const INTERVAL_MS = 100;
/** Of a terminal that does not say how wide it is. */
const COLUMNS = 80;

/** One line of a terminal that is written over and over; nothing where the stream is no terminal. */
export class StatusLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  #shown = -Infinity;

  /** `now`: milliseconds, monotonic. */
  constructor(stream: NodeJS.WriteStream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Shows what `text` gives, unless it would be too soon. */
  update(text: () => string): void {
    const now = this.#now();
    if (!this.#stream.isTTY || now - this.#shown < INTERVAL_MS) return;
    this.#shown = now;
    // A line that wraps cannot be taken back; one column stays free for the cursor.
    const room = (this.#stream.columns || COLUMNS) - 1;
    this.#stream.write(`\r\x1b[K${text().slice(0, room)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown > -Infinity) this.#stream.write("\r\x1b[K");
    this.#shown = -Infinity;
  }
}
