import { QueuePair, type QueuePairHandle } from "#lib/nvme/queues/queue-pair.js";
import { parseBdf } from "#lib/pci/bdf.js";

export const QID = 3;
export const DEVICE = parseBdf("0000:03:00.0");

/** The controller's side of a queue pair in plain memory. */
export class FakeController {
  readonly depth: number;
  readonly queues: { buffer: ArrayBuffer; close(): void };
  readonly doorbells: { buffer: ArrayBuffer; close(): void };
  readonly sq: Int32Array;
  readonly cq: Int32Array;
  readonly registers: Int32Array;
  /** Shadows of the SQ tail and CQ head doorbells, then their EventIdx entries. */
  readonly shadows = new Int32Array(4);
  closes = 0;
  sqHead = 0;
  #cqTail = 0;
  #phase = 1;

  readonly #close = (): void => {
    this.closes++;
  };

  constructor(depth: number) {
    this.depth = depth;
    this.queues = { buffer: new ArrayBuffer(depth * 80), close: this.#close };
    this.doorbells = { buffer: new ArrayBuffer(64), close: this.#close };
    this.sq = new Int32Array(this.queues.buffer, 0, depth * 16);
    this.cq = new Int32Array(this.queues.buffer, depth * 64, depth * 4);
    this.registers = new Int32Array(this.doorbells.buffer);
  }

  handle({ shadowed = false } = {}): QueuePairHandle {
    const shadow = { memoryId: 0, sqOffset: 0, cqOffset: 4, sqEventOffset: 8, cqEventOffset: 12 };
    return {
      device: DEVICE,
      qid: QID,
      depth: this.depth,
      sqMemoryId: 0,
      sqOffset: 0,
      cqMemoryId: 0,
      cqOffset: this.depth * 64,
      doorbellMemoryId: 0,
      sqDoorbellOffset: 24,
      cqDoorbellOffset: 28,
      shadow: shadowed ? shadow : null,
      vector: null,
    };
  }

  open(options: { shadowed?: boolean } = {}): QueuePair {
    const { queues, doorbells, shadows } = this;
    const handle = this.handle(options);
    return new QueuePair(handle, {
      submission: queues,
      completion: queues,
      doorbells,
      shadow: handle.shadow && { buffer: shadows.buffer, close: this.#close },
    });
  }

  /** Its queues were deleted and created again, with zeroed memory. */
  recreate(): void {
    this.sqHead = 0;
    this.#cqTail = 0;
    this.#phase = 1;
    this.cq.fill(0);
    this.registers.fill(0);
  }

  get sqTail(): number {
    return this.registers[6]!;
  }

  get cqHead(): number {
    return this.registers[7]!;
  }

  /** Command ids that were submitted since the last call. */
  fetch(): number[] {
    const ids = [];
    for (; this.sqHead !== this.sqTail; this.sqHead = (this.sqHead + 1) % this.depth)
      ids.push(this.sq[this.sqHead * 16]! >>> 16);
    return ids;
  }

  complete(id: number, { status = 0, result = 0, sqid = QID, sqHead = this.sqHead } = {}): void {
    const at = this.#cqTail * 4;
    this.cq[at] = result;
    this.cq[at + 2] = (sqid << 16) | sqHead;
    this.cq[at + 3] = id | (this.#phase << 16) | (status << 17);
    this.#cqTail = (this.#cqTail + 1) % this.depth;
    if (this.#cqTail === 0) this.#phase ^= 1;
  }
}
