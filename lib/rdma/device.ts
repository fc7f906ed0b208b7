import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type {
  NativeRdmaAttributes,
  NativeRdmaDevice,
  NativeRdmaGid,
  NativeRdmaPort,
} from "../rdma-addon.js";
import { tryAll } from "../try-all.js";
import { CompletionQueue } from "./completion-queue.js";
import { decodeEvent, EventType, type RdmaEvent } from "./events.js";
import { choosePath, isActive, type PathOptions, type RdmaPath } from "./path.js";
import { ProtectionDomain } from "./protection-domain.js";

export interface RdmaDeviceInfo {
  /** As libibverbs has it: `mlx5_0`, `rxe0`. */
  readonly name: string;
  /** Null where no PCI function is behind it (soft-RoCE). */
  readonly address: Bdf | null;
}

/** What whoever opened a device hears of it. */
export interface RdmaDeviceOwner {
  /** It reports a fatal error (IBV_EVENT_DEVICE_FATAL): it has failed, or was taken away. */
  onLost?(error: P2pError): void;
  onClosed?(): void;
}

/**
 * A NIC, which stays on its kernel driver: p2pmem uses it by libibverbs, and the loopback machine's by
 * what stands for it. Made by Session.rdmaDevice().
 */
export class RdmaDevice {
  readonly name: string;
  /** Null where no PCI function is behind it, or none that this machine shows. */
  readonly fn: PciFunction | null;
  readonly native: NativeRdmaDevice;
  readonly attributes: NativeRdmaAttributes;
  readonly #made = new Set<ProtectionDomain | CompletionQueue>();
  readonly #owner: RdmaDeviceOwner;
  #handler: ((event: RdmaEvent) => void) | null = null;
  #isClosed = false;

  /** Takes over `native`. */
  constructor(native: NativeRdmaDevice, fn: PciFunction | null, owner: RdmaDeviceOwner = {}) {
    this.native = native;
    this.name = native.name;
    this.fn = fn;
    this.#owner = owner;
    this.attributes = native.attributes();
    native.onEvent((type, queuePair, port) => {
      const event = decodeEvent(type, queuePair, port);
      if (type === EventType.DEVICE_FATAL) owner.onLost?.(this.#lost());
      this.#handler?.(event);
    });
  }

  /** Errors: NO_PORT, IO. */
  port(number: number): NativeRdmaPort {
    return this.native.port(number);
  }

  /** Those that are set. Errors: NO_PORT, IO. */
  gids(port: number): NativeRdmaGid[] {
    return this.native.gids(port);
  }

  /** Whether it has a port that can carry data. */
  get isActive(): boolean {
    for (let port = 1; port <= this.attributes.ports; port++)
      if (isActive(this.port(port))) return true;
    return false;
  }

  /**
   * By the port given, or the first that is active; by the GID given, or the one that most others can
   * reach: RoCE v2 before v1, IPv4 before IPv6. Errors: NO_PORT, PORT_DOWN, NO_GID.
   */
  choosePath(options?: PathOptions): RdmaPath {
    const ports = {
      name: this.name,
      count: this.attributes.ports,
      port: (number: number) => this.port(number),
      gids: (port: number) => this.gids(port),
    };
    return choosePath(ports, options);
  }

  /** Errors: RDMA_LIMIT, DEVICE_GONE, IO. */
  allocateDomain(): ProtectionDomain {
    const domain = new ProtectionDomain(this, this.native.allocateDomain(), (closed) => {
      this.#made.delete(closed);
    });
    this.#made.add(domain);
    return domain;
  }

  /**
   * Room for `entries` completions; with a `channel` they can be waited for. Errors: RDMA_LIMIT, DEVICE_GONE,
   * IO.
   */
  createCompletionQueue(entries: number, { channel = false } = {}): CompletionQueue {
    const queue = CompletionQueue.create(this.native, entries, channel, (closed) => {
      this.#made.delete(closed);
    });
    this.#made.add(queue);
    return queue;
  }

  /** Called for each asynchronous event; null takes the handler away. */
  onEvent(handler: ((event: RdmaEvent) => void) | null): void {
    this.#handler = handler;
  }

  /**
   * With all that was made of it: queue pairs, regions, domains, then completion queues. Idempotent. Errors:
   * those of what could not be closed, with which it stays: close() may be called again.
   */
  close(): void {
    if (this.#isClosed) return;
    const made = [...this.#made];
    const domains = made.filter((object) => object instanceof ProtectionDomain);
    const queues = made.filter((object) => object instanceof CompletionQueue);
    tryAll(
      [...domains, ...queues].map((object) => () => {
        object.close();
      }),
    );
    this.native.close();
    this.#isClosed = true;
    this.#owner.onClosed?.();
  }

  #lost(): P2pError {
    return new P2pError("DEVICE_GONE", `${this.name} has failed, or was removed`, {
      device: this.name,
      hint: "close what was opened of it, and open it again once it is back",
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
