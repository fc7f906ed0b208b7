/**
 * Shadow doorbells (NVMe 1.4 §5.7, §7.13), which emulated controllers offer, as a register access
 * costs them a trap. The host writes each doorbell's value to memory, and to the register only where
 * the controller has asked for that by its EventIdx.
 */
import type { AddressSpace } from "../../dma/address-space.js";
import type { DmaBuffer } from "../../dma/dma-buffer.js";
import type { AdminQueue } from "./admin-queue.js";
import type { Capabilities } from "../registers.js";
import { AdminOpcode, PAGE } from "../spec.js";

/** One queue pair's entries in both buffers: byte offsets in the memory that holds them. */
export interface ShadowHandle {
  readonly memoryId: number;
  readonly sqOffset: number;
  readonly cqOffset: number;
  readonly sqEventOffset: number;
  readonly cqEventOffset: number;
}

const INDEX = 0xffff;

/**
 * Writes `value` to the shadow of a doorbell; true where the register must be written, too: where
 * the controller's EventIdx is among the values from the one before up to the one before this.
 */
export function updateShadow(shadow: Int32Array, event: Int32Array, value: number): boolean {
  // Host memory, so Atomics are right here, and needed: the controller writes its EventIdx and then
  // reads the shadow, we write the shadow and then read EventIdx. Only with a full barrier between
  // (on x86-64 the exchange is one) does one of us see the other's write.
  const before = Atomics.exchange(shadow, 0, value);
  const asked = event[0]!;
  return ((value - asked - 1) & INDEX) < ((value - before) & INDEX);
}

/** The two buffers of a controller, a page each: first the shadows, then the EventIdx entries. */
export class ShadowDoorbells {
  readonly #buffer: DmaBuffer;
  readonly #capabilities: Capabilities;

  constructor(space: AddressSpace, capabilities: Capabilities) {
    this.#buffer = space.allocate(2 * PAGE);
    this.#capabilities = capabilities;
  }

  /** §5.7: each buffer is one page, which bounds the queue pairs, the admin queue included. */
  static maxQueuePairs(capabilities: Capabilities): number {
    return Math.floor(PAGE / capabilities.sqDoorbell(1));
  }

  /** Has an enabled controller use them; after each reset anew. Errors: those of admin commands. */
  async configure(admin: AdminQueue): Promise<void> {
    const { iova } = this.#buffer;
    await admin.execute({
      opcode: AdminOpcode.DOORBELL_BUFFER_CONFIG,
      prp1: iova,
      prp2: iova + PAGE,
    });
  }

  /** Entries for a queue pair that is about to be created: all 0, as new doorbells are. */
  prepare(qid: number): ShadowHandle {
    const sqOffset = this.#capabilities.sqDoorbell(qid);
    const cqOffset = this.#capabilities.cqDoorbell(qid);
    const handle = {
      memoryId: this.#buffer.memory.id,
      sqOffset,
      cqOffset,
      sqEventOffset: PAGE + sqOffset,
      cqEventOffset: PAGE + cqOffset,
    };
    const words = new Int32Array(this.#buffer.buffer);
    for (const offset of [sqOffset, cqOffset, PAGE + sqOffset, PAGE + cqOffset])
      words[offset / 4] = 0;
    return handle;
  }

  /** The controller must have been reset before, or may not master the bus any more. */
  close(): void {
    this.#buffer.close();
  }
}
