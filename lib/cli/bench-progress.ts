import type { BenchProgress } from "../bench/measure/measure.js";
import { shortSize } from "../units.js";

/** How often the line changes, at most. */
const INTERVAL_MS = 100;

/** One line on standard error that shows how far a benchmark is; nothing where that is no terminal. */
export class BenchProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  readonly #start: number;
  #sample = 0;
  #sampleStart = 0;
  #shown = -Infinity;

  constructor(
    stream: NodeJS.WriteStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#stream = stream;
    this.#now = now;
    this.#start = now();
  }

  update({ point, sample, samples, phase, bytes }: BenchProgress): void {
    const now = this.#now();
    if (sample !== this.#sample || bytes === 0) {
      this.#sample = sample;
      this.#sampleStart = now;
    }
    if (!this.#stream.isTTY || now - this.#shown < INTERVAL_MS) return;
    this.#shown = now;
    const seconds = (now - this.#sampleStart) / 1000;
    const doing =
      phase === "measure" && bytes > 0 && seconds > 0
        ? `${(bytes / seconds / 1e9).toFixed(2)} GB/s`
        : phase === "verify"
          ? "verifying"
          : "preparing";
    const { job, path, bs, iodepth } = point;
    const what = `${job}: ${path}, bs ${shortSize(bs)}, depth ${iodepth}`;
    const line = `${what}, sample ${sample} of ${samples}, ${doing}${this.#left(now, sample, samples)}`;
    this.#stream.write(`\r\x1b[K${line.slice(0, (this.#stream.columns || 100) - 1)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#shown > -Infinity) this.#stream.write("\r\x1b[K");
  }

  /** Samples take as long as those before them did, about. */
  #left(now: number, sample: number, samples: number): string {
    if (sample < 2) return "";
    const seconds = ((now - this.#start) / 1000 / (sample - 1)) * (samples - sample + 1);
    const minutes = Math.floor(seconds / 60);
    return minutes > 0
      ? `, ${minutes} min ${Math.round(seconds % 60)} s left`
      : `, ${Math.ceil(seconds)} s left`;
  }
}
