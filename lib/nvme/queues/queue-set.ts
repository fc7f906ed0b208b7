import type { NativeMemory } from "../../addon.js";
import type { AddressSpace } from "../../dma/address-space.js";
import type { DmaBuffer } from "../../dma/dma-buffer.js";
import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import type { AdminCommands } from "../admin/admin-commands.js";
import type { QueuePairHandle } from "./queue-pair.js";
import type { Capabilities } from "../registers.js";
import { AdminOpcode, CQE_BYTES, PAGE, QUEUE_PC, SQE_BYTES } from "../spec.js";

/** The queue pairs of one controller: identifiers, memory, doorbells. Queue 0 is the admin queue. */
export class QueueSet {
  readonly #space: AddressSpace;
  readonly #device: Bdf;
  readonly #capabilities: Capabilities;
  readonly #doorbells: NativeMemory;
  /** Queue memory by qid. */
  readonly #memory = new Map<number, DmaBuffer>();
  #granted = 0;

  /** `doorbells`: the registers from SQ0TDBL on. The set owns them. */
  constructor(
    space: AddressSpace,
    device: Bdf,
    capabilities: Capabilities,
    doorbells: NativeMemory,
  ) {
    this.#space = space;
    this.#device = device;
    this.#capabilities = capabilities;
    this.#doorbells = doorbells;
  }

  /** Most entries of a queue, a power of two. */
  get maxDepth(): number {
    return 2 ** Math.floor(Math.log2(this.#capabilities.maxQueueEntries));
  }

  /** Identifiers of the I/O queue pairs that exist. */
  get ioQueues(): number[] {
    return [...this.#memory.keys()].filter((qid) => qid !== 0);
  }

  /** The controller allows `count` I/O queue pairs; fewer are usable if fewer doorbells are mapped. */
  grant(count: number): void {
    const mapped = Math.floor(this.#doorbells.size / (2 * this.#capabilities.doorbellStride)) - 1;
    this.#granted = Math.min(count, mapped);
  }

  /** Memory for a queue pair, of which the controller knows nothing yet. */
  allocate(qid: number, wantedDepth: number): { handle: QueuePairHandle; iova: number } {
    const depth = Math.min(2 ** Math.max(1, Math.ceil(Math.log2(wantedDepth))), this.maxDepth);
    const cqOffset = Math.ceil((depth * SQE_BYTES) / PAGE) * PAGE;
    const buffer = this.#space.allocate(cqOffset + depth * CQE_BYTES);
    this.#memory.set(qid, buffer);
    const handle = {
      device: this.#device,
      qid,
      depth,
      memoryId: buffer.memory.id,
      sqOffset: 0,
      cqOffset,
      doorbellMemoryId: this.#doorbells.id,
      sqDoorbellOffset: this.#capabilities.sqDoorbell(qid),
      cqDoorbellOffset: this.#capabilities.cqDoorbell(qid),
    };
    return { handle, iova: buffer.iova };
  }

  /** NVMe 1.4 §5.3, §5.4: the CQ first, as the SQ names it. Polled, so without interrupts. */
  async create(depth: number, admin: AdminCommands): Promise<QueuePairHandle> {
    const qid = this.#takeId();
    const { handle, iova } = this.allocate(qid, depth);
    const cdw10 = ((handle.depth - 1) << 16) | qid;
    const cq = { prp1: iova + handle.cqOffset, cdw10, cdw11: QUEUE_PC };
    const sq = { prp1: iova + handle.sqOffset, cdw10, cdw11: (qid << 16) | QUEUE_PC };
    try {
      await admin.execute({ opcode: AdminOpcode.CREATE_IO_CQ, ...cq });
      try {
        await admin.execute({ opcode: AdminOpcode.CREATE_IO_SQ, ...sq });
      } catch (error) {
        await admin.execute({ opcode: AdminOpcode.DELETE_IO_CQ, cdw10: qid });
        throw error;
      }
    } catch (error) {
      this.#free(qid);
      throw error;
    }
    return handle;
  }

  /** §7.4.1: the SQ first, as a CQ that an SQ uses cannot go. */
  async delete(qid: number, admin: AdminCommands): Promise<void> {
    await admin.execute({ opcode: AdminOpcode.DELETE_IO_SQ, cdw10: qid });
    await admin.execute({ opcode: AdminOpcode.DELETE_IO_CQ, cdw10: qid });
    this.#free(qid);
  }

  /** Frees all. The controller must be disabled, and may not master the bus any more. */
  close(): void {
    for (const qid of [...this.#memory.keys()]) this.#free(qid);
    this.#doorbells.close();
  }

  #takeId(): number {
    for (let qid = 1; qid <= this.#granted; qid++) if (!this.#memory.has(qid)) return qid;
    throw new P2pError(
      "NO_QUEUE",
      `${this.#device} has all ${this.#granted} I/O queue pairs in use`,
      {
        device: this.#device,
      },
    );
  }

  #free(qid: number): void {
    this.#memory.get(qid)?.close();
    this.#memory.delete(qid);
  }
}
