const STOP = 0;
const GIVE_UP = 1;

/** What the owner of a run and its reactor share while it runs. */
export class ControlBlock {
  static readonly byteLength = 16;

  readonly buffer: SharedArrayBuffer;
  readonly #flags: Int32Array;
  readonly #progress: Float64Array;

  constructor(buffer = new SharedArrayBuffer(ControlBlock.byteLength)) {
    this.buffer = buffer;
    this.#flags = new Int32Array(buffer, 0, 2);
    this.#progress = new Float64Array(buffer, 8, 1);
  }

  /** Begin nothing new, finish what is in flight. */
  stop(): void {
    Atomics.store(this.#flags, STOP, 1);
  }

  get stopping(): boolean {
    return Atomics.load(this.#flags, STOP) !== 0;
  }

  /** Do not wait either: what is in flight will not complete. */
  giveUp(): void {
    Atomics.store(this.#flags, GIVE_UP, 1);
  }

  get givenUp(): boolean {
    return Atomics.load(this.#flags, GIVE_UP) !== 0;
  }

  /** Bytes moved so far. A torn value cannot be: an aligned double is one store on 64-bit. */
  get bytes(): number {
    return this.#progress[0]!;
  }

  set bytes(value: number) {
    this.#progress[0] = value;
  }
}
