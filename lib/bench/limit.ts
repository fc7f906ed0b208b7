import { addon, type NativeMemory } from "../addon.js";
import { median } from "../stats/median.js";

/** How long one sample takes: long enough for the clock, short beside a run. */
const SAMPLE_NS = 30e6;
/** Samples on either side of a run. */
const SAMPLES = 3;
/**
 * Bytes that it is measured over, at most: more than the caches that one core reaches, so that a longer
 * range is not slower; room for it is taken twice, and filled.
 */
const MOST_RANGE = 2 ** 28;
/** Blocks between two looks at the clock. */
const BLOCKS_PER_LOOK = 16;

/**
 * What the loopback machine's runs are held against: how fast one thread copies the same blocks over
 * the same footprint by two native memcpy calls each, source to buffer and buffer to destination.
 * To be sampled right before and after a run, since what a shared machine gives varies.
 */
export class CopyLimit {
  readonly #room: number;
  readonly #memory: NativeMemory[] = [];
  #block = 0;

  /** `range`: bytes of source and destination, `buffers`: bytes in flight; most of all runs. Errors: NO_MEMORY. */
  constructor(range: number, buffers: number) {
    this.#room = Math.min(range, MOST_RANGE);
    try {
      for (const size of [this.#room, buffers, this.#room])
        this.#memory.push(addon().allocatePinned(size, true));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** `run`, and the median of samples on either side of it, bytes a second. */
  async around<T>(
    range: number,
    bs: number,
    iodepth: number,
    run: () => Promise<T>,
  ): Promise<[T, number]> {
    const samples: number[] = [];
    const sample = (): void => {
      for (let i = 0; i < SAMPLES; i++) samples.push(this.sample(range, bs, iodepth));
    };
    sample();
    const result = await run();
    sample();
    return [result, median(samples)];
  }

  /** Bytes a second over a range of this run, measured once, from where the last sample ended. */
  sample(range: number, bs: number, iodepth: number): number {
    const native = addon();
    const [source, buffers, destination] = this.#memory as [
      NativeMemory,
      NativeMemory,
      NativeMemory,
    ];
    const footprint = Math.min(range, this.#room);
    const length = Math.min(bs, footprint);
    const blocks = Math.floor(footprint / length);
    const start = process.hrtime.bigint();
    let copied = 0;
    let elapsed = 0;
    while (elapsed < SAMPLE_NS) {
      for (let i = 0; i < BLOCKS_PER_LOOK; i++) {
        const at = (this.#block % blocks) * length;
        const slot = (this.#block % iodepth) * length;
        native.copy(buffers, slot, source, at, length);
        native.copy(destination, at, buffers, slot, length);
        this.#block++;
      }
      copied += BLOCKS_PER_LOOK * length;
      elapsed = Number(process.hrtime.bigint() - start);
    }
    return (copied / elapsed) * 1e9;
  }

  /** Idempotent. */
  close(): void {
    for (const memory of this.#memory) memory.close();
  }
}
