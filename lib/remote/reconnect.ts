import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";

/** What a broken connection looks like. */
const BREAKS = new Set(["PEER_GONE", "NO_ROUTE", "RDMA_STATUS"]);
/** What may be so for a while after one broke, and at another time would not pass by itself. */
const AFTERMATH = new Set(["PORT_DOWN", "NO_RDMA_DEVICE", "NO_GID", "TOO_MANY_CLIENTS"]);
/** So is a NIC that was named, and is missing; an NVMe device that is does not come back by itself. */
const AFTERMATH_OF_NIC = new Set(["UNKNOWN_DEVICE", "DEVICE_GONE"]);

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2000;

/** Says when to try again after a connection broke, and when to leave it. */
export class Reconnect {
  /** Milliseconds without progress. */
  readonly #patienceMs: number;
  #brokenAt: number | null = null;
  #waitMs = FIRST_WAIT_MS;
  /** How often it was tried again. */
  count = 0;

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** Some blocks were confirmed: from here on patience is new. */
  progress(): void {
    this.#brokenAt = null;
    this.#waitMs = FIRST_WAIT_MS;
  }

  /** Waits before the next try. Errors: the given one, where it is of no use or too late; INTERRUPTED. */
  async wait(error: unknown, now: number, signal?: AbortSignal): Promise<void> {
    if (!(error instanceof P2pError)) throw error;
    const isPassing = BREAKS.has(error.code) || (this.#brokenAt !== null && isAftermath(error));
    if (!isPassing) throw error;
    this.#brokenAt ??= now;
    if (now + this.#waitMs - this.#brokenAt > this.#patienceMs) throw error;
    this.count++;
    try {
      await delay(this.#waitMs, undefined, signal === undefined ? {} : { signal });
    } catch {
      throw new P2pError("INTERRUPTED", "interrupted");
    }
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
  }
}

/** Errors name a NIC by its name, any other device by its PCI address. */
function isAftermath({ code, device = ":" }: P2pError): boolean {
  return AFTERMATH.has(code) || (AFTERMATH_OF_NIC.has(code) && !device.includes(":"));
}
