import type { AddressSpace } from "../../dma/address-space.js";
import type { DmaBuffer } from "../../dma/dma-buffer.js";
import type { AdminCommand, AdminQueue } from "../queues/admin-queue.js";
import { PAGE, PRP_BYTES } from "../spec.js";

/** Most bytes that one PRP list page and PRP 1 describe. */
export const MAX_ADMIN_TRANSFER = PAGE * (1 + PAGE / PRP_BYTES);

/** Memory for the data of one admin command, whose data pointer is always PRPs (NVMe 1.4 §4.4). */
class AdminData {
  readonly #buffer: DmaBuffer;
  readonly #bytes: number;
  readonly prp1: number;
  readonly prp2: number;

  /** `bytes`: up to MAX_ADMIN_TRANSFER. Errors: those of AddressSpace.allocate(). */
  constructor(space: AddressSpace, bytes: number) {
    const pages = Math.ceil(bytes / PAGE);
    const hasList = pages > 2;
    this.#buffer = space.allocate((pages + (hasList ? 1 : 0)) * PAGE);
    this.#bytes = bytes;
    const { iova } = this.#buffer;
    this.prp1 = iova;
    // §4.3: PRP 2 is the second page, or names a list of all but the first.
    this.prp2 = pages === 1 ? 0 : hasList ? iova + pages * PAGE : iova + PAGE;
    if (!hasList) return;
    const list = new BigUint64Array(this.#buffer.buffer, pages * PAGE, pages - 1);
    for (let page = 1; page < pages; page++) list[page - 1] = BigInt(iova + page * PAGE);
  }

  /** What goes to the controller. */
  put(data: Uint8Array): void {
    new Uint8Array(this.#buffer.buffer).set(data);
  }

  /** A copy of what came from it. */
  take(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer.slice(0, this.#bytes));
  }

  /** After the command. */
  close(): void {
    this.#buffer.close();
  }
}

/**
 * Runs a command with so many bytes of data: `given`, or what comes back. `result`: dword 0 of the
 * completion. Errors: those of AdminQueue.execute() and of AddressSpace.allocate().
 */
export async function transfer(
  queue: AdminQueue,
  space: AddressSpace,
  command: AdminCommand,
  bytes: number,
  given?: Uint8Array,
): Promise<{ result: number; data: DataView }> {
  if (bytes === 0)
    return { result: await queue.execute(command), data: new DataView(new ArrayBuffer(0)) };
  const memory = new AdminData(space, bytes);
  try {
    if (given) memory.put(given);
    const { prp1, prp2 } = memory;
    const result = await queue.execute({ ...command, prp1, prp2 });
    return { result, data: new DataView(memory.take().buffer) };
  } finally {
    memory.close();
  }
}
