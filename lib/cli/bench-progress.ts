import type { BenchProgress } from "../bench/measure/measure.js";
import { shortSize } from "../units.js";
import { StatusLine } from "./status-line.js";

const DOING = { "warm-up": "warming up", prepare: "preparing", verify: "verifying" };

/** One line on standard error that shows how far a benchmark is; nothing where that is no terminal. */
export class BenchProgressLine {
  readonly #line: StatusLine;
  readonly #now: () => number;
  readonly #start: number;
  #sample = 0;
  #sampleStart = 0;
  /** When the phase of this sample began. */
  #phaseStart = 0;
  #phase: BenchProgress["phase"] = "measure";

  constructor(
    stream: NodeJS.WriteStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#line = new StatusLine(stream, now);
    this.#now = now;
    this.#start = now();
  }

  update(progress: BenchProgress): void {
    const { sample, phase } = progress;
    const now = this.#now();
    if (sample !== this.#sample) this.#sampleStart = now;
    if (sample !== this.#sample || phase !== this.#phase) this.#phaseStart = now;
    this.#sample = sample;
    this.#phase = phase;
    this.#line.update(() => this.#text(progress, now));
  }

  /** Takes the line away. */
  end(): void {
    this.#line.end();
  }

  #text(progress: BenchProgress, now: number): string {
    const { point, sample, samples } = progress;
    const what = `${point.job}: ${point.rw === "copy" ? "" : `${point.rw} `}${point.path}`;
    return [
      `${what} bs ${shortSize(point.bs)} depth ${point.iodepth}`,
      ...(sample === 0 ? [] : [`sample ${sample}/${samples}`]),
      this.#doing(progress, now),
      ...this.#left(progress, now),
    ].join(", ");
  }

  #doing({ phase, bytes }: BenchProgress, now: number): string {
    if (phase !== "measure") return DOING[phase];
    const seconds = (now - this.#phaseStart) / 1000;
    return bytes > 0 && seconds > 0 ? `${(bytes / seconds / 1e9).toFixed(2)} GB/s` : "starting";
  }

  /** Samples take as long as those before them did, about; before there is one, nobody knows. */
  #left({ sample, samples }: BenchProgress, now: number): string[] {
    if (sample < 2) return [];
    const each = (this.#sampleStart - this.#start) / 1000 / (sample - 1);
    const running = (now - this.#sampleStart) / 1000;
    const seconds = Math.ceil(Math.max(each - running, 0) + each * (samples - sample));
    const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
    return [`ETA ${minutes}:${String(rest).padStart(2, "0")}`];
  }
}
