import type { Bdf } from "../../pci/bdf.js";
import type { AsyncQueue } from "./async-queue.js";
import { statusError } from "../status.js";
import { AdminOpcode } from "../spec.js";

/** Fields of an admin command (NVMe 1.4 §4.2); what is left out is 0. */
export interface AdminCommand {
  opcode: number;
  nsid?: number;
  /** PRP entries, DMA addresses. */
  prp1?: number;
  prp2?: number;
  cdw10?: number;
  cdw11?: number;
  cdw12?: number;
  cdw13?: number;
}

const NAMES = Object.fromEntries(
  Object.entries(AdminOpcode).map(([name, opcode]) => [opcode, name]),
);

/** The admin queue: any number of commands at once, each awaited. */
export class AdminQueue {
  readonly device: Bdf;
  readonly #queue: AsyncQueue;
  readonly #entry = new Int32Array(16);

  constructor(queue: AsyncQueue, device: Bdf) {
    this.#queue = queue;
    this.device = device;
  }

  /**
   * Dword 0 of the completion. `timeout`: how long it may take, milliseconds; Infinity for an
   * Asynchronous Event Request. Errors: NVME_STATUS, QUEUE_FULL, and what broke the queue: TIMEOUT,
   * DEVICE_GONE, CONTROLLER_FATAL, BAD_COMPLETION, CLOSED.
   */
  execute(command: AdminCommand, timeout?: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.assertUsable();
      const what = `admin command ${nameOf(command)}`;
      const waiter = {
        what,
        completed: (status: number, result: number) => {
          if (status === 0) resolve(result);
          else reject(statusError(status, what, this.device));
        },
        failed: reject,
      };
      const slot = this.#queue.claim(waiter, timeout);
      const { opcode, nsid = 0, prp1 = 0, prp2 = 0, cdw10 = 0, cdw11 = 0 } = command;
      const entry = this.#entry.fill(0);
      entry[0] = opcode;
      entry[1] = nsid;
      entry[6] = prp1 | 0;
      entry[7] = (prp1 / 2 ** 32) | 0;
      entry[8] = prp2 | 0;
      entry[9] = (prp2 / 2 ** 32) | 0;
      entry[10] = cdw10;
      entry[11] = cdw11;
      entry[12] = command.cdw12 ?? 0;
      entry[13] = command.cdw13 ?? 0;
      this.#queue.queue.submitEntry(entry, slot);
      this.#queue.start();
    });
  }
}

function nameOf({ opcode }: AdminCommand): string {
  return NAMES[opcode] ?? `0x${opcode.toString(16)}`;
}
