const STOP = 0;
const LOSSES = 1;
const REPORTS = 2;
/** Queue and command in one word, since one may be looked at while the next is reported. */
const REPORTED = 3;
/** One flag for each queue; an even number of words before, since a double comes after. */
const LOST = 4;

/** A command's identifier has 16 bits (NVMe 1.4 §4.2), a reactor fewer than 2**15 queues. */
const COMMAND_BITS = 16;
const COMMAND_MASK = 2 ** COMMAND_BITS - 1;

const NONE = -1;
const STOPPING = 1;
const HALTING = 2;

/** A command that has been out for too long. */
export interface OverdueCommand {
  /** Which of the reactor's queues, by its number there. */
  queue: number;
  commandId: number;
  /** How many reports there have been: another number is another report. */
  report: number;
}

/** What the owner of a run and its reactor share while it runs. */
export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #progress: Float64Array;

  /** Of the reactor's side, by the owner's buffer. */
  constructor(buffer: SharedArrayBuffer) {
    const words = buffer.byteLength / 4 - 2;
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, words);
    this.#progress = new Float64Array(buffer, words * 4, 1);
  }

  /** For a reactor that drives so many queues. */
  static create(queues: number): ControlBlock {
    return new ControlBlock(new SharedArrayBuffer((LOST + queues + (queues % 2)) * 4 + 8));
  }

  /** Begin nothing new, finish what has begun. */
  stop(): void {
    Atomics.or(this.#words, STOP, STOPPING);
  }

  /**
   * A plain load, which V8 compiles to one, where Atomics.load() is a call: loops look at it for each batch.
   * Between two looks they call what may have written it, so it is loaded anew.
   */
  get isStopping(): boolean {
    return this.#words[STOP]! !== 0;
  }

  /** Submit nothing more at all, also not what would finish something that has begun. */
  halt(): void {
    Atomics.or(this.#words, STOP, STOPPING | HALTING);
  }

  /** As isStopping. */
  get isHalting(): boolean {
    return (this.#words[STOP]! & HALTING) !== 0;
  }

  /** Nothing on this queue will complete any more: what is in flight there counts as over. */
  lose(queue: number): void {
    Atomics.store(this.#words, LOST + queue, 1);
    Atomics.add(this.#words, LOSSES, 1);
  }

  /** How often lose() was called. */
  get losses(): number {
    return Atomics.load(this.#words, LOSSES);
  }

  isLost(queue: number): boolean {
    return Atomics.load(this.#words, LOST + queue) !== 0;
  }

  /** The reactor asks its owner to see to a command: NvmeController.recover(). */
  report(queue: number, commandId: number): void {
    Atomics.store(this.#words, REPORTED, (queue << COMMAND_BITS) | commandId);
    Atomics.add(this.#words, REPORTS, 1);
  }

  /** What was reported has ended. */
  withdraw(): void {
    Atomics.store(this.#words, REPORTED, NONE);
  }

  /** What was reported last; null where nothing was, or that has ended. */
  get overdue(): OverdueCommand | null {
    const report = Atomics.load(this.#words, REPORTS);
    // Of a report that comes just now this may be the command before its number: it is seen to twice.
    const reported = Atomics.load(this.#words, REPORTED);
    if (report === 0 || reported === NONE) return null;
    return { queue: reported >>> COMMAND_BITS, commandId: reported & COMMAND_MASK, report };
  }

  /** Bytes moved so far. A torn value cannot be: an aligned double is one store on 64-bit. */
  get bytes(): number {
    return this.#progress[0]!;
  }

  set bytes(value: number) {
    this.#progress[0] = value;
  }
}
