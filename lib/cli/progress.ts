import { formatSize } from "../units.js";
import { StatusLine } from "./status-line.js";

/** One line on standard error that shows how far a run is; nothing where that is no terminal. */
export class Progress {
  readonly #line: StatusLine;
  readonly #label: string;
  readonly #start = performance.now();

  constructor(label: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label;
    this.#line = new StatusLine(stream, () => performance.now());
  }

  /** `total` is null where time ends the run. */
  update(bytes: number, total: number | null): void {
    this.#line.update(() => {
      const seconds = (performance.now() - this.#start) / 1000;
      const part = total === null ? "" : ` ${Math.floor((100 * bytes) / total)} %`;
      const rate = `${(bytes / seconds / 1e9).toFixed(2)} GB/s`;
      return `${this.#label}: ${formatSize(bytes)}${part}, ${rate}, ${seconds.toFixed(1)} s`;
    });
  }

  /** Takes the line away. */
  end(): void {
    this.#line.end();
  }
}
