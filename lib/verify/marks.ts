import type { Belonging } from "./diagnosis.js";
import type { MarkMode } from "./mode.js";
import { isSealed, sealBlock, type Bytes } from "./seal.js";
import { areStamps, fillStamps, readStamp } from "./stamp.js";

/** What the blocks of one run hold, so that each can be told from what else might be there. */
export class Marks {
  readonly mode: MarkMode;
  readonly seed: number;

  /** `seed`: any 32 bits, other ones for each run, or what an earlier one left would pass. */
  constructor(mode: MarkMode, seed: number) {
    this.mode = mode;
    this.seed = seed >>> 0;
  }

  /** `start`: of the block in `memory`; `offset`: of the block from the start of its range. */
  fill(memory: Bytes, start: number, length: number, offset: number): void {
    if (this.mode === "crc32c") sealBlock(memory, start, length, offset, this.seed);
    else fillStamps(memory.words.subarray(start / 4, (start + length) / 4), offset, this.seed);
  }

  isRight(memory: Bytes, start: number, length: number, offset: number): boolean {
    return this.mode === "crc32c"
      ? isSealed(memory, start, length, offset, this.seed)
      : areStamps(memory.words, start / 4, length / 4, offset, this.seed);
  }

  /** A block as it should be. */
  make(length: number, offset: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.fill({ bytes, words: new Uint32Array(bytes.buffer) }, 0, length, offset);
    return bytes;
  }

  /**
   * What the 512 bytes from `start` on are, where `offset` of the range belongs. `nameOf`: a person's
   * name of what is so many bytes from the start of the range.
   */
  identify(
    { words }: Bytes,
    start: number,
    offset: number,
    nameOf: (offset: number) => string,
  ): Belonging {
    const origin = readStamp(words, start / 4);
    if (origin === null) return null;
    if (origin.seed !== this.seed)
      return { earlier: `data of another run (seed 0x${origin.seed.toString(16)})` };
    return origin.offset === offset ? null : { place: nameOf(origin.offset) };
  }
}
