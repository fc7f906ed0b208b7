import type { IoRing } from "./io-ring.js";
import type { KernelFailure } from "./job.js";
import * as spec from "./spec.js";

/** The requests of an engine: each slot has a piece of memory, and one request in flight at most. */
export class Requests {
  readonly #ring: IoRing;
  readonly #address: number;
  readonly #stride: number;
  readonly #read: number;
  readonly #write: number;
  readonly #isRegistered: boolean;
  /** By slot: the request that is in flight, or was last. */
  readonly #isWrite: Uint8Array;
  readonly #file: Int32Array;
  readonly #offset: Float64Array;
  readonly #length: Int32Array;

  /** `address`: of the first slot. `isRegistered`: the ring knows the slots' memory by their numbers. */
  constructor(ring: IoRing, slots: number, address: number, stride: number, isRegistered: boolean) {
    const flags = spec.IOSQE_FIXED_FILE << spec.SQE_FLAGS_SHIFT;
    this.#ring = ring;
    this.#address = address;
    this.#stride = stride;
    this.#read = (isRegistered ? spec.IORING_OP_READ_FIXED : spec.IORING_OP_READ) | flags;
    this.#write = (isRegistered ? spec.IORING_OP_WRITE_FIXED : spec.IORING_OP_WRITE) | flags;
    this.#isRegistered = isRegistered;
    this.#isWrite = new Uint8Array(slots);
    this.#file = new Int32Array(slots);
    this.#offset = new Float64Array(slots);
    this.#length = new Int32Array(slots);
  }

  submit(slot: number, isWrite: boolean, file: number, offset: number, length: number): void {
    this.#isWrite[slot] = isWrite ? 1 : 0;
    this.#file[slot] = file;
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#ring.submit(
      isWrite ? this.#write : this.#read,
      file,
      offset,
      this.#address + slot * this.#stride,
      length,
      this.#isRegistered ? slot : 0,
      slot,
    );
  }

  isWrite(slot: number): boolean {
    return this.#isWrite[slot] !== 0;
  }

  lengthOf(slot: number): number {
    return this.#length[slot]!;
  }

  failure(slot: number, result: number): KernelFailure {
    return {
      isWrite: this.isWrite(slot),
      file: this.#file[slot]!,
      offset: this.#offset[slot]!,
      length: this.#length[slot]!,
      result,
    };
  }
}
