import type { Registrar } from "../io/registrar.js";
import type { QueuePair } from "../nvme/queues/queue-pair.js";
import type { EngineQueue } from "../reactor/engine.js";
import type { BlockShape, SideJob } from "./job.js";

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
