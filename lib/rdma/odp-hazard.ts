import { setImmediate as turn } from "node:timers/promises";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import { tryAll } from "../try-all.js";
import type { CompletionQueue } from "./completion-queue.js";
import type { RdmaDevice } from "./device.js";
import type { MemoryRegion } from "./memory-region.js";
import type { PathOptions } from "./path.js";
import type { ProtectionDomain } from "./protection-domain.js";
import type { QueuePair } from "./queue-pair.js";
import { Access, Opcode, SendFlag } from "./spec.js";
import { STATUS_SUCCESS, statusError } from "./status.js";

const PAGE = 4096;
const BYTES = 4 * PAGE;
/** Over two ends of pages, where it begins at a page as well as behind the begin of one. */
const LENGTH = 2 * PAGE + 8;
const INSIDE = 1000;
const PATIENCE_MS = 10_000;

/** What on-demand memory of a device is not to be trusted with. */
export interface OdpHazard {
  readonly reason: string;
  /** Messages of which every packet begins at a page are right all the same: packetsBeginAtPages(). */
  readonly isRightAtPages: boolean;
}

export interface OdpHazardOptions extends PathOptions {
  /** Of the connections that are to be, bytes. Default: the port's. */
  readonly mtu?: number | undefined;
}

/**
 * Whether the device moves the bytes that it is asked for from and to on-demand memory: tried with a write
 * and a read of some pages, between two queue pairs of one port. Null where all were right.
 *
 * Soft-RoCE was found wrong up to Linux 7.3 and reports success: it leaves the offset in the page out, so
 * that each packet goes to the begin of the page that it belongs to, over what lies there, or comes from it
 * (linux/drivers/infiniband/sw/rxe/rxe_odp.c, __rxe_odp_mr_copy).
 *
 * Errors: NO_ODP, NO_PORT, PORT_DOWN, NO_GID, RDMA_LIMIT, RDMA_STATUS, TIMEOUT, IO.
 */
export async function findOdpHazard(
  device: RdmaDevice,
  options: OdpHazardOptions = {},
): Promise<OdpHazard | null> {
  const trial = new Trial(device, options);
  try {
    if (await trial.isRight(INSIDE)) return null;
    const isRightAtPages = packetsBeginAtPages(0, LENGTH, trial.mtu) && (await trial.isRight(0));
    const unless = isRightAtPages ? " unless every packet begins at a page" : "";
    return {
      reason: `${device.name} moves wrong bytes from and to on-demand memory${unless}`,
      isRightAtPages,
    };
  } finally {
    trial.close();
  }
}

/**
 * Whether every packet of a message begins at a page of the memory. `offset`: of the message from the begin
 * of a page; all in bytes.
 */
export function packetsBeginAtPages(offset: number, length: number, mtu: number): boolean {
  return offset % PAGE === 0 && (length <= mtu || mtu % PAGE === 0);
}

/** Two queue pairs that are connected to each other, one with pinned memory and one with memory on demand. */
class Trial {
  readonly mtu: number;
  readonly #domain: ProtectionDomain;
  readonly #completions: CompletionQueue;
  readonly #memory: NativeMemory[] = [];
  readonly #send: (opcode: number, offset: number) => void;
  readonly #device: string;
  readonly #pinned: Uint8Array;
  readonly #paged: Uint8Array;

  constructor(device: RdmaDevice, { mtu, ...where }: OdpHazardOptions) {
    const path = device.choosePath(where);
    this.mtu = mtu ?? path.mtu;
    this.#device = device.name;
    this.#domain = device.allocateDomain();
    this.#completions = device.createCompletionQueue(4);
    try {
      const access = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_READ;
      const pinned = this.#register(access);
      const paged = this.#register(access | Access.ON_DEMAND);
      const own = { ...path, mtu: this.mtu, remoteAccess: access };
      const makeEnd = (): QueuePair => {
        const sendCompletions = this.#completions;
        const end = this.#domain.createQueuePair({ sends: 1, receives: 1, sendCompletions });
        end.initialize(own);
        return end;
      };
      const [source, target] = [makeEnd(), makeEnd()];
      source.connect(own, target.address(path));
      target.connect(own, source.address(path));
      [this.#pinned, this.#paged] = [pinned.bytes, paged.bytes];
      this.#send = (opcode, offset) => {
        const from = pinned.region.address + offset;
        const to = paged.region.address + offset;
        const { lkey } = pinned.region;
        source.sends.write(0, opcode, SendFlag.SIGNALED, from, LENGTH, lkey, to, paged.region.rkey);
        source.flush();
      };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Of a message at this offset, both ways: it, and all around it. */
  async isRight(offset: number): Promise<boolean> {
    const [pinned, paged] = [this.#pinned, this.#paged];
    return (
      (await this.#isMoved(Opcode.WRITE, offset, pinned, paged)) &&
      (await this.#isMoved(Opcode.READ, offset, paged, pinned))
    );
  }

  close(): void {
    tryAll(
      [this.#domain, this.#completions, ...this.#memory].map((made) => () => {
        made.close();
      }),
    );
  }

  async #isMoved(
    opcode: number,
    offset: number,
    from: Uint8Array,
    to: Uint8Array,
  ): Promise<boolean> {
    from.forEach((_, at) => (from[at] = 1 + (at % 251)));
    to.fill(0);
    this.#send(opcode, offset);
    const until = performance.now() + PATIENCE_MS;
    while (this.#completions.poll() === 0) {
      if (performance.now() > until)
        throw new P2pError("TIMEOUT", `${this.#device} does not answer itself`, {
          device: this.#device,
        });
      await turn();
    }
    const status = this.#completions.status(0);
    if (status !== STATUS_SUCCESS)
      throw statusError(status, "a trial of on-demand memory", this.#device);
    const inside = (at: number): boolean => at >= offset && at < offset + LENGTH;
    return to.every((byte, at) => byte === (inside(at) ? from[at] : 0));
  }

  #register(access: number): { region: MemoryRegion; bytes: Uint8Array } {
    const memory = addon().allocatePinned(BYTES, false);
    this.#memory.push(memory);
    const region = this.#domain.registerMemory(memory, 0, BYTES, access);
    return { region, bytes: new Uint8Array(memory.buffer, 0, BYTES) };
  }
}
