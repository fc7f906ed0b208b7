/** Which blocks of a range are written: how many from its begin on, with no gap, for the owner to see. */
export class WrittenBlocks {
  readonly #bits: Uint32Array;
  readonly #blocks: number;
  /** See DestinationJob.written. */
  readonly #prefix: Float64Array;

  /** Those before `first` are. A bit for each block: of 8 TiB in blocks of 128 KiB 8 MiB. */
  constructor(written: SharedArrayBuffer, first: number, blocks: number) {
    this.#prefix = new Float64Array(written, 0, 1);
    this.#prefix[0] = first;
    this.#blocks = blocks;
    this.#bits = new Uint32Array(Math.ceil(blocks / 32));
  }

  add(block: number): void {
    const word = Math.floor(block / 32);
    this.#bits[word]! |= 1 << (block % 32);
  }

  /** To be called now and then. A torn value cannot be: an aligned double is one store. */
  publish(): void {
    const bits = this.#bits;
    let block = this.#prefix[0]!;
    while (block < this.#blocks) {
      const word = bits[Math.floor(block / 32)]!;
      if (block % 32 === 0 && word === 0xffff_ffff) block += 32;
      else if (((word >>> (block % 32)) & 1) === 1) block++;
      else break;
    }
    this.#prefix[0] = Math.min(block, this.#blocks);
  }
}
