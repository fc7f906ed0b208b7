import type { QueuePair, QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { EngineQueue } from "../reactor/engine.js";
import type { EngineCommand } from "../reactor/engine-job.js";
import type { Registrar, RegistrarJob } from "./registrar.js";

/** The commands that move one copy block on one side. */
export interface BlockShape {
  /** Logical blocks. */
  blocks: number;
  /**
   * The data pointers: four words for each command of each slot. Built once: a slot's memory stays
   * the same, only the LBA moves.
   */
  pointers: Int32Array;
}

/** Half of every block copy: the reads from the source, or the writes to the destination. */
export interface SideJob {
  queue: QueuePairHandle;
  /** How long a command may take, nanoseconds. */
  timeoutNs: number;
  /** NVMe 1.4 §6: Read or Write, and by PSDT the kind of its data pointers (§4.2). */
  opcode: number;
  nsid: number;
  /** First logical block of the job's part of the range. */
  lba: number;
  /** Logical blocks that one command moves, at most. */
  commandBlocks: number;
  whole: BlockShape;
  /** Where memory is mapped for each I/O, which then builds its pointers. */
  registrar: RegistrarJob | null;
  /** The part's last copy block, which may be shorter and then needs other data pointers. */
  last: BlockShape;
}

/** The source, or the destination, as one thread drives it. */
export class Side implements EngineQueue {
  /** Its number among the reactor's queues. */
  readonly index: number;
  readonly queue: QueuePair;
  isLost = false;
  readonly opcode: number;
  readonly nsid: number;
  readonly lba: number;
  readonly commandBlocks: number;
  readonly timeoutNs: number;
  /** Null where memory stays mapped. */
  readonly registrar: Registrar | null;
  readonly whole: Shape;
  readonly last: Shape;
  readonly commandShift: number;

  constructor(index: number, job: SideJob, queue: QueuePair, registrar: Registrar | null) {
    this.index = index;
    this.queue = queue;
    this.registrar = registrar;
    this.opcode = job.opcode;
    this.nsid = job.nsid;
    this.lba = job.lba;
    this.commandBlocks = job.commandBlocks;
    this.timeoutNs = job.timeoutNs;
    this.whole = new Shape(job.whole, job.commandBlocks);
    this.last = new Shape(job.last, job.commandBlocks);
    this.commandShift = 32 - Math.clz32(this.whole.commands - 1);
  }

  /** Submits all commands of a block, whose memory is `slot`'s; gives how many. For the poll loop. */
  submit(slot: number, block: number, isLast: boolean): number {
    const queue = this.queue;
    const shape = isLast ? this.last : this.whole;
    const pointers = shape.pointers;
    const commands = shape.commands;
    const end = (slot + 1) * commands * 4;
    let left = shape.blocks;
    let lba = this.lba + block * this.whole.blocks;
    let cookie = slot << this.commandShift;
    for (let word = slot * commands * 4; word < end; word += 4) {
      const blocks = left < this.commandBlocks ? left : this.commandBlocks;
      queue.submit(
        this.opcode,
        this.nsid,
        lba,
        blocks,
        pointers[word]!,
        pointers[word + 1]!,
        pointers[word + 2]!,
        pointers[word + 3]!,
        cookie,
      );
      cookie++;
      lba += blocks;
      left -= blocks;
    }
    return commands;
  }

  /** Which blocks the command with that cookie has, as part of `block`. */
  commandOf(command: "Read" | "Write", cookie: number, block: number, isLast: boolean) {
    const shape = isLast ? this.last : this.whole;
    const slot = cookie >>> this.commandShift;
    const skipped = (cookie - (slot << this.commandShift)) * this.commandBlocks;
    return {
      command,
      lba: this.lba + block * this.whole.blocks + skipped,
      blocks: Math.min(this.commandBlocks, shape.blocks - skipped),
    } satisfies EngineCommand;
  }
}

class Shape {
  readonly blocks: number;
  readonly pointers: Int32Array;
  /** Commands for one block. */
  readonly commands: number;

  constructor(job: BlockShape, commandBlocks: number) {
    this.blocks = job.blocks;
    this.pointers = job.pointers;
    this.commands = Math.ceil(job.blocks / commandBlocks);
  }
}
