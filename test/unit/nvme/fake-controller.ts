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
  closes = 0;
  sqHead = 0;
  #cqTail = 0;
  #phase = 1;

  constructor(depth: number) {
    this.depth = depth;
    const close = (): void => {
      this.closes++;
    };
    this.queues = { buffer: new ArrayBuffer(depth * 80), close };
    this.doorbells = { buffer: new ArrayBuffer(64), close };
    this.sq = new Int32Array(this.queues.buffer, 0, depth * 16);
    this.cq = new Int32Array(this.queues.buffer, depth * 64, depth * 4);
    this.registers = new Int32Array(this.doorbells.buffer);
  }

  open(): QueuePair {
    const handle: QueuePairHandle = {
      device: DEVICE,
      qid: QID,
      depth: this.depth,
      memoryId: 0,
      sqOffset: 0,
      cqOffset: this.depth * 64,
      doorbellMemoryId: 0,
      sqDoorbellOffset: 24,
      cqDoorbellOffset: 28,
    };
    return new QueuePair(handle, this.queues, this.doorbells);
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
