/**
 * An io_uring as its thread drives it: the same shape as an NVMe queue pair (../nvme/queues/queue-pair.ts).
 * Entries are written in place by 32-bit stores; where that would ring a doorbell, one native call hands
 * a batch to the kernel and waits. That call is what orders the stores before the kernel's loads, and
 * the kernel's stores before the loads here.
 */
import { getSystemErrorName } from "node:util";
import { addon, type NativeAddon, type NativeIoRing, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import * as spec from "./spec.js";

/** No limit to a wait. */
export const FOREVER = -1;

const HIGH = 2 ** 32;

export class IoRing {
  /** Of the request that next() returned: the bytes that it moved, or its errno, negated. */
  result = 0;
  /** Requests that were written and not handed over yet. */
  pending = 0;

  declare private readonly native: NativeIoRing;
  declare private readonly memories: NativeMemory[];
  declare private readonly sqes: Int32Array;
  declare private readonly sqTail: Int32Array;
  declare private readonly sqMask: number;
  declare private readonly cqes: Int32Array;
  declare private readonly cqHead: Int32Array;
  declare private readonly cqTail: Int32Array;
  declare private readonly cqMask: number;

  /** For at most so many requests in flight. Errors: NO_IO_URING, MEMLOCK, NO_MEMORY. */
  static open(requests: number, native: Pick<NativeAddon, "createIoRing"> = addon()): IoRing {
    const ring = native.createIoRing(requests);
    try {
      return new IoRing(ring);
    } catch (error) {
      ring.close();
      throw error;
    }
  }

  private constructor(native: NativeIoRing) {
    const { layout } = native;
    const rings = native.rings();
    const entries = native.entries();
    const words = (offset: number, count: number): Int32Array =>
      new Int32Array(rings.buffer, offset, count);
    this.native = native;
    this.memories = [rings, entries];
    this.sqes = new Int32Array(entries.buffer, 0, layout.sqEntries * spec.SQE_WORDS);
    this.sqTail = words(layout.sqTail, 1);
    this.sqMask = layout.sqEntries - 1;
    this.cqes = words(layout.cqes, layout.cqEntries * spec.CQE_WORDS);
    this.cqHead = words(layout.cqHead, 1);
    this.cqTail = words(layout.cqTail, 1);
    this.cqMask = layout.cqEntries - 1;
    // Entries are used in turn, so that the ring which orders them never changes.
    const order = words(layout.sqArray, layout.sqEntries);
    for (let i = 0; i < layout.sqEntries; i++) order[i] = i;
  }

  /** Keeps memory that requests name until none is in flight; its address. */
  hold(memory: NativeMemory): number {
    return this.native.hold(memory);
  }

  /** Errors: IO. */
  registerFiles(files: readonly number[]): void {
    this.native.registerFiles(files);
  }

  /** Whether the kernel pins the `count` pieces of `stride` bytes, so that requests may name them. */
  tryRegisterBuffers(memory: NativeMemory, stride: number, count: number): boolean {
    if (count > spec.IORING_MAX_REG_BUFFERS || stride > spec.IORING_MAX_BUFFER_BYTES) return false;
    try {
      this.native.registerBuffers(memory, stride, count);
      return true;
    } catch (error) {
      if (error instanceof P2pError && error.code === "NOT_REGISTERED") return false;
      throw error;
    }
  }

  /**
   * Writes one request: `command` is the opcode and its flags, `file` and `buffer` are indexes of what was
   * registered, `offset`, `length` and `address` bytes. `cookie` comes back from next(). The caller has
   * no more requests in flight than the ring was opened for.
   */
  submit(
    command: number,
    file: number,
    offset: number,
    address: number,
    length: number,
    buffer: number,
    cookie: number,
  ): void {
    const sqes = this.sqes;
    const tail = this.sqTail[0]!;
    const o = (tail & this.sqMask) * spec.SQE_WORDS;
    sqes[o + spec.SQE_COMMAND] = command;
    sqes[o + spec.SQE_FILE] = file;
    sqes[o + spec.SQE_OFFSET] = offset;
    sqes[o + spec.SQE_OFFSET + 1] = (offset / HIGH) | 0;
    sqes[o + spec.SQE_ADDRESS] = address;
    sqes[o + spec.SQE_ADDRESS + 1] = (address / HIGH) | 0;
    sqes[o + spec.SQE_LENGTH] = length;
    sqes[o + spec.SQE_LENGTH + 1] = 0;
    sqes[o + spec.SQE_USER_DATA] = cookie;
    sqes[o + spec.SQE_USER_DATA + 1] = 0;
    sqes[o + spec.SQE_BUFFER] = buffer;
    for (let word = spec.SQE_BUFFER + 1; word < spec.SQE_WORDS; word++) sqes[o + word] = 0;
    this.sqTail[0] = (tail + 1) | 0;
    this.pending++;
  }

  /**
   * Hands over what was written, then waits for `complete` completions, `timeoutNs` at most. Errors: IO,
   * where the kernel does not take a batch at all.
   */
  enter(complete: number, timeoutNs: number): void {
    const taken = this.native.enter(this.pending, complete, timeoutNs);
    if (taken < 0) throw refused(taken);
    this.pending -= taken;
  }

  /** The cookie of one request that has ended, or -1 where there is none. */
  next(): number {
    const head = this.cqHead[0]!;
    if (head === this.cqTail[0]!) return -1;
    const o = (head & this.cqMask) * spec.CQE_WORDS;
    const cookie = this.cqes[o + spec.CQE_USER_DATA]!;
    this.result = this.cqes[o + spec.CQE_RESULT]!;
    this.cqHead[0] = (head + 1) | 0;
    return cookie;
  }

  /** Waits until nothing is in flight. Idempotent. */
  close(): void {
    for (const memory of this.memories) memory.close();
    this.native.close();
  }
}

function refused(result: number): P2pError {
  return new P2pError("IO", `io_uring_enter: ${getSystemErrorName(result)}`, {
    errno: -result,
    syscall: "io_uring_enter",
  });
}
