import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import type { AsyncQueue, Waiter } from "./async-queue.js";
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

/** Slots that only urgent commands may take, as far as there are as many more. */
export const RESERVED_SLOTS = 8;

interface Waiting {
  readonly command: AdminCommand;
  readonly timeout: number | undefined;
  readonly waiter: Waiter;
}

/**
 * The admin queue: any number of commands at once, each awaited. Those wait that find no slot; what
 * ends others, so that slots come free again, does not wait behind them.
 */
export class AdminQueue {
  readonly device: Bdf;
  readonly #queue: AsyncQueue;
  readonly #entry = new Int32Array(16);
  readonly #reserved: number;
  readonly #urgent: Waiting[] = [];
  readonly #backlog: Waiting[] = [];

  constructor(queue: AsyncQueue, device: Bdf) {
    this.#queue = queue;
    this.device = device;
    this.#reserved = Math.min(RESERVED_SLOTS, Math.floor(queue.slots / 2));
  }

  /**
   * Dword 0 of the completion. `timeout`: how long it may take once it has a slot, milliseconds;
   * Infinity for an Asynchronous Event Request, which does not wait for a slot: QUEUE_FULL, and
   * leaves one to others. `isUrgent`: it goes first, and may have the slots kept for that.
   * Errors: NVME_STATUS, and what broke the queue: TIMEOUT, DEVICE_GONE, CONTROLLER_FATAL,
   * CONTROLLER_RESET, BAD_COMPLETION, CLOSED.
   */
  execute(command: AdminCommand, timeout?: number, isUrgent = false): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#queue.closed) throw this.#queue.closed;
      if (timeout === Infinity && this.#queue.room < this.#reserved + 2)
        throw new P2pError("QUEUE_FULL", "the admin queue has no slot to spare", {
          device: this.device,
        });
      const what = `admin command ${nameOf(command)}`;
      const waiter = {
        what,
        completed: (status: number, result: number) => {
          if (status === 0) resolve(result);
          else reject(statusError(status, what, this.device));
          this.#pump();
        },
        failed: (error: Error) => {
          reject(error);
          this.#pump();
        },
      };
      (isUrgent ? this.#urgent : this.#backlog).push({ command, timeout, waiter });
      this.#pump();
    });
  }

  /** Commands wait only while others are in flight, so that the end of those is the time to look. */
  #pump(): void {
    const { closed } = this.#queue;
    // What was meant for the queue as it was is not for the one that comes after it.
    if (closed) for (const list of [this.#urgent, this.#backlog]) failAll(list, closed);
    this.#submit(this.#urgent, 0);
    this.#submit(this.#backlog, this.#reserved);
  }

  #submit(list: Waiting[], reserved: number): void {
    while (this.#queue.room > reserved) {
      const next = list.shift();
      if (!next) return;
      const { command, timeout, waiter } = next;
      const slot = this.#queue.claim(waiter, timeout);
      this.#queue.queue.submitEntry(this.#encode(command), slot);
      this.#queue.start();
    }
  }

  #encode(command: AdminCommand): Int32Array {
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
    return entry;
  }
}

function failAll(list: Waiting[], error: Error): void {
  for (const { waiter } of list.splice(0)) waiter.failed(error);
}

function nameOf({ opcode }: AdminCommand): string {
  return NAMES[opcode] ?? `0x${opcode.toString(16)}`;
}
