/**
 * One submission and one completion queue, and the only code that runs for every I/O. No call into
 * the addon, no allocation, one shape, 32-bit typed-array accesses only (design: "The hot path").
 *
 * What keeps it right is the order of its stores and loads. On x86-64 the processor keeps stores in
 * program order, also towards uncached memory, so a queue entry is visible before the doorbell that
 * follows it. ECMAScript promises nothing of the kind for plain stores, so test/codegen reads what
 * V8 makes of this file. Atomics would be wrong on a register: a locked exchange, and it is write-only.
 */
import { addon } from "../../addon.js";
import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import { updateShadow, type ShadowHandle } from "./shadow-doorbells.js";

/** All that a thread needs to drive a queue pair; survives postMessage. */
export interface QueuePairHandle {
  readonly device: Bdf;
  readonly qid: number;
  /** Entries in each queue, a power of two. */
  readonly depth: number;
  /**
   * Memory that holds the submission queue, and its byte offset there. It may be the controller's
   * own (CMB): the driver stores aligned 32-bit words there and never reads them.
   */
  readonly sqMemoryId: number;
  readonly sqOffset: number;
  /** Host memory that holds the completion queue; may be the same. */
  readonly cqMemoryId: number;
  readonly cqOffset: number;
  /** Mapped doorbell registers, and the byte offsets of this pair's two. */
  readonly doorbellMemoryId: number;
  readonly sqDoorbellOffset: number;
  readonly cqDoorbellOffset: number;
  /** Null where the doorbells are registers alone. */
  readonly shadow: ShadowHandle | null;
  /** MSI-X vector of the completion queue; null where it is only polled. */
  readonly vector: number | null;
}

/** What the queue pair needs of a NativeMemory. */
export interface QueueMemory {
  readonly buffer: ArrayBuffer;
  close(): void;
}

/** What a queue pair works on, as its handle says; several may be the same. */
export interface QueueMemories {
  readonly submission: QueueMemory;
  readonly completion: QueueMemory;
  readonly doorbells: QueueMemory;
  readonly shadow: QueueMemory | null;
}

/** Opens a queue pair on this thread. Errors: UNSUPPORTED_CPU; GONE, once its memory was freed. */
export function openQueuePair(handle: QueuePairHandle): QueuePair {
  if (process.arch !== "x64")
    throw new P2pError(
      "UNSUPPORTED_CPU",
      `doorbells on ${process.arch} need a barrier that p2pmem has for x86-64 only`,
      { device: handle.device },
    );
  const opened = new Map<number, QueueMemory>();
  const open = (id: number): QueueMemory => {
    const memory = opened.get(id) ?? addon().openMemory(id);
    opened.set(id, memory);
    return memory;
  };
  try {
    return new QueuePair(handle, {
      submission: open(handle.sqMemoryId),
      completion: open(handle.cqMemoryId),
      doorbells: open(handle.doorbellMemoryId),
      shadow: handle.shadow && open(handle.shadow.memoryId),
    });
  } catch (error) {
    for (const memory of opened.values()) memory.close();
    throw error;
  }
}

// Bounds of an entry's first dword for the deepest queue (65536 entries). They change no value; they
// tell the optimiser that an index is small and not negative, which saves a sign extension for each
// store.
const SQ_INDEX = 0xf_fff0;
const CQ_INDEX = 0x3_fffc;
const ID = 0xffff;

const HIGH = 2 ** 32;
const PHASE_SHIFT = 16;
const STATUS_SHIFT = 17;
const NOT_IN_USE = -1;
const NO_SHADOW = new Int32Array(0);

export class QueuePair {
  readonly device: Bdf;
  readonly qid: number;
  readonly depth: number;
  /** Status field of the command that next() returned (15 bits, §4.6.1); 0 is success. */
  status = 0;
  /** Why the queue can no longer be trusted, set when next() meets a completion that cannot be. */
  fault: P2pError | null = null;

  // `declare`: a class field would first be undefined, and V8 would lose track of its type.
  declare private readonly sq: Int32Array;
  declare private readonly cq: Int32Array;
  declare private readonly sqDoorbell: Int32Array;
  declare private readonly cqDoorbell: Int32Array;
  declare private readonly isShadowed: boolean;
  declare private readonly sqShadow: Int32Array;
  declare private readonly cqShadow: Int32Array;
  declare private readonly sqEvent: Int32Array;
  declare private readonly cqEvent: Int32Array;
  /** Free command ids, a ring. Oldest first: a late, second completion then meets an unused id. */
  declare private readonly ids: Int32Array;
  /** Cookie of each command in flight, by command id. */
  declare private readonly cookies: Int32Array;
  declare private readonly mask: number;
  /** SQ identifier where completion dword 2 has it. */
  declare private readonly sqid: number;
  declare private readonly memories: Set<QueueMemory>;
  private tail = 0;
  private head = 0;
  private phase = 1;
  private get = 0;
  private put = 0;

  /** The memory must be zeroed, as the controller starts with phase 1. Errors: BAD_RANGE. */
  constructor(handle: QueuePairHandle, memories: QueueMemories) {
    const { depth, qid, shadow } = handle;
    const { submission, completion, doorbells } = memories;
    if (depth < 2 || depth > 65536 || (depth & (depth - 1)) !== 0)
      throw new P2pError("BAD_RANGE", `queue depth ${depth} is not a power of two from 2 to 65536`);
    this.device = handle.device;
    this.qid = qid;
    this.depth = depth;
    this.mask = depth - 1;
    this.sqid = qid << 16;
    this.sq = new Int32Array(submission.buffer, handle.sqOffset, depth * 16);
    this.cq = new Int32Array(completion.buffer, handle.cqOffset, depth * 4);
    this.sqDoorbell = new Int32Array(doorbells.buffer, handle.sqDoorbellOffset, 1);
    this.cqDoorbell = new Int32Array(doorbells.buffer, handle.cqDoorbellOffset, 1);
    const shadowWord = (offset = 0): Int32Array =>
      memories.shadow ? new Int32Array(memories.shadow.buffer, offset, 1) : NO_SHADOW;
    this.isShadowed = memories.shadow !== null;
    this.sqShadow = shadowWord(shadow?.sqOffset);
    this.cqShadow = shadowWord(shadow?.cqOffset);
    this.sqEvent = shadowWord(shadow?.sqEventOffset);
    this.cqEvent = shadowWord(shadow?.cqEventOffset);
    this.ids = new Int32Array(depth);
    this.cookies = new Int32Array(depth);
    this.memories = new Set([submission, completion, doorbells]);
    if (memories.shadow) this.memories.add(memories.shadow);
    this.reset();
  }

  /**
   * Begins anew, for queues that were created again: with the memory of the completion queue and the
   * shadow doorbells zeroed, and no command that could still complete. Its cookies are forgotten.
   */
  reset(): void {
    for (let id = 0; id < this.depth; id++) this.ids[id] = id;
    this.cookies.fill(NOT_IN_USE);
    this.tail = 0;
    this.head = 0;
    this.phase = 1;
    this.get = 0;
    this.put = this.depth;
    this.status = 0;
    this.fault = null;
  }

  /** Identifier of the command in flight that has this cookie, or -1: for Abort. Slow. */
  commandIdOf(cookie: number): number {
    return cookie < 0 ? -1 : this.cookies.indexOf(cookie);
  }

  /** Commands that can still be submitted, at most depth - 1 (a full queue keeps a slot, §4.1.1). */
  get free(): number {
    return ((this.put - this.get) | 0) - 1;
  }

  /** Commands that were submitted and have not come back from next(). */
  get inFlight(): number {
    return this.depth - ((this.put - this.get) | 0);
  }

  /**
   * Writes one NVM command into the submission queue. `command` is the low half of dword 0 (§4.2):
   * the opcode, FUSE in bits 9:8, and PSDT in bits 15:14, which says what the four words of the data
   * pointer are: both PRPs, by halves, or one SGL descriptor. `blocks` 1 to 65536; `cookie` is not
   * negative and comes back from next(). Errors: QUEUE_FULL.
   */
  submit(
    command: number,
    nsid: number,
    lba: number,
    blocks: number,
    data0: number,
    data1: number,
    data2: number,
    data3: number,
    cookie: number,
  ): void {
    const sq = this.sq;
    const mask = this.mask;
    const get = this.get;
    const tail = this.tail;
    if (((this.put - get) | 0) <= 1) throw queueFull(this);
    const id = this.ids[get & mask & ID]! & ID;
    this.get = (get + 1) | 0;
    this.cookies[id] = cookie;
    const o = (tail << 4) & SQ_INDEX;
    sq[o] = command | (id << 16);
    sq[o + 1] = nsid;
    sq[o + 2] = 0;
    sq[o + 3] = 0;
    sq[o + 4] = 0;
    sq[o + 5] = 0;
    sq[o + 6] = data0;
    sq[o + 7] = data1;
    sq[o + 8] = data2;
    sq[o + 9] = data3;
    sq[o + 10] = lba;
    sq[o + 11] = (lba / HIGH) | 0;
    sq[o + 12] = blocks - 1;
    sq[o + 13] = 0;
    sq[o + 14] = 0;
    sq[o + 15] = 0;
    this.tail = (tail + 1) & mask;
  }

  /**
   * Writes a command of any kind: 16 dwords, whose command id is filled in. Slower than submit().
   * Errors: QUEUE_FULL.
   */
  submitEntry(entry: Int32Array, cookie: number): void {
    if (this.free < 1) throw queueFull(this);
    const id = this.ids[this.get & this.mask]!;
    this.get = (this.get + 1) | 0;
    this.cookies[id] = cookie;
    const o = this.tail << 4;
    this.sq[o] = (entry[0]! & ID) | (id << 16);
    for (let dword = 1; dword < 16; dword++) this.sq[o + dword] = entry[dword]!;
    this.tail = (this.tail + 1) & this.mask;
  }

  /** Tells the controller of what was submitted: once for a batch. */
  ring(): void {
    // x86-64: the entries above are visible before this store, see the head of this file.
    if (!this.isShadowed || updateShadow(this.sqShadow, this.sqEvent, this.tail))
      this.sqDoorbell[0] = this.tail;
  }

  /** The cookie of one finished command, or -1 if there is none, or if the queue has a `fault`. */
  next(): number {
    const cq = this.cq;
    const head = this.head;
    const mask = this.mask;
    const o = (head << 2) & CQ_INDEX;
    const word = cq[o + 3]!;
    if (((word >>> PHASE_SHIFT) & 1) !== this.phase) return -1;
    const id = word & ID;
    // One comparison for two facts of dword 2: our SQ identifier, and an SQ head inside the queue.
    if (id > mask || (cq[o + 2]! ^ this.sqid) >>> 0 > mask) return this.distrust();
    const cookie = this.cookies[id]!;
    if (cookie < 0) return this.distrust();
    this.cookies[id] = NOT_IN_USE;
    const put = this.put;
    this.ids[put & mask & ID] = id;
    this.put = (put + 1) | 0;
    const after = (head + 1) & mask;
    this.head = after;
    if (after === 0) this.phase ^= 1;
    this.status = word >>> STATUS_SHIFT;
    return cookie;
  }

  /** Dword 0 of the completion that next() returned; valid until acknowledge(). */
  get result(): number {
    return this.cq[((this.head - 1) & this.mask) << 2]! >>> 0;
  }

  /** Gives the entries that next() returned back to the controller: once for a batch. */
  acknowledge(): void {
    if (!this.isShadowed || updateShadow(this.cqShadow, this.cqEvent, this.head))
      this.cqDoorbell[0] = this.head;
  }

  /** Detaches this thread's views. Idempotent. */
  close(): void {
    for (const memory of this.memories) memory.close();
  }

  /** Out of line, so that next() stays small. The entry is not consumed: next() meets it again. */
  private distrust(): number {
    const o = this.head << 2;
    const word = this.cq[o + 3]!;
    const queue = this.cq[o + 2]!;
    this.fault ??= new P2pError(
      "BAD_COMPLETION",
      `queue ${this.qid} completed command id ${word & ID}, which is not in flight ` +
        `(SQ ${queue >>> 16}, SQ head ${queue & 0xffff})`,
      {
        device: this.device,
        hint: "reset the controller; what it has written is not to be trusted",
      },
    );
    return -1;
  }
}

function queueFull(queue: QueuePair): P2pError {
  return new P2pError(
    "QUEUE_FULL",
    `queue ${queue.qid} has ${queue.depth - 1} commands in flight`,
    {
      device: queue.device,
    },
  );
}
