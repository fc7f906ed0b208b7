import { formatSize } from "../units.js";

/** How often the line changes, at most. */
const INTERVAL_MS = 100;

/** One line on standard error that shows how far a run is; nothing where that is no terminal. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #label: string;
  readonly #start = performance.now();
  #shown = 0;

  constructor(label: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label;
    this.#stream = stream;
  }

  /** `total` is null where time ends the run. */
  update(bytes: number, total: number | null): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - this.#shown < INTERVAL_MS) return;
    this.#shown = now;
    const seconds = (now - this.#start) / 1000;
    const part = total === null ? "" : ` ${Math.floor((100 * bytes) / total)} %`;
    const rate = `${(bytes / seconds / 1e9).toFixed(2)} GB/s`;
    this.#stream.write(
      `\r\x1b[K${this.#label}: ${formatSize(bytes)}${part}, ${rate}, ${seconds.toFixed(1)} s`,
    );
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown > 0) this.#stream.write("\r\x1b[K");
  }
}
