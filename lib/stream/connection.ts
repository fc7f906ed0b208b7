import { randomInt } from "node:crypto";
import { addon, type NativeMemory } from "../addon.js";
import { formatGid, parseGid, type QueuePairAddress } from "../exchange/address.js";
import type { CompletionQueue } from "../rdma/completion-queue.js";
import type { MemoryRegion } from "../rdma/memory-region.js";
import type { RdmaPath } from "../rdma/path.js";
import type { ProtectionDomain } from "../rdma/protection-domain.js";
import type { QueuePair } from "../rdma/queue-pair.js";
import { Access, PSN_MASK } from "../rdma/spec.js";
import { tryAll } from "../try-all.js";
import { HEADER_BYTES } from "./header.js";
import type { WireJob } from "./job.js";
import type { StreamEndPlan } from "./plan.js";
import { requestsOf } from "./requests.js";

/** What one end has of its NIC, but for the memory of its slots: a queue pair, and a table of headers. */
export class EndConnection {
  readonly domain: ProtectionDomain;
  readonly path: RdmaPath;
  /** What the other end may do here: only a destination is written to. */
  readonly #remoteAccess: number;
  /** Packets are numbered from there on, so that those of an earlier connection are told apart. */
  readonly #psn = randomInt(PSN_MASK + 1);
  readonly #closes: (() => void)[] = [];
  #completions!: CompletionQueue;
  #queuePair!: QueuePair;
  #headers!: NativeMemory;
  #headerRegion!: MemoryRegion;

  /** Errors: NO_PORT, PORT_DOWN, NO_GID, RDMA_LIMIT, DEVICE_GONE, IO. */
  constructor({ role, rdma, port, gidIndex }: StreamEndPlan) {
    this.#remoteAccess = role === "destination" ? Access.REMOTE_WRITE : 0;
    this.path = rdma.choosePath({ port, gidIndex });
    this.domain = this.#closing(rdma.allocateDomain());
  }

  /** For so many slots. Errors: RDMA_LIMIT, DEVICE_GONE, MEMLOCK, NO_MEMORY, IO. */
  open(slots: number): void {
    const { domain, path } = this;
    const remoteAccess = this.#remoteAccess;
    const { sends, receives, completions } = requestsOf(slots);
    this.#headers = this.#closing(addon().allocatePinned(slots * HEADER_BYTES, false));
    this.#headerRegion = this.#closing(
      domain.registerMemory(
        this.#headers,
        0,
        slots * HEADER_BYTES,
        // Who writes there from afar must be able to from here (InfiniBand 1.4 §11.2.8.2).
        remoteAccess === 0 ? 0 : Access.LOCAL_WRITE | remoteAccess,
      ),
    );
    this.#completions = this.#closing(domain.device.createCompletionQueue(completions));
    this.#queuePair = this.#closing(
      domain.createQueuePair({ sends, receives, sendCompletions: this.#completions }),
    );
    const { port, gidIndex } = path;
    this.#queuePair.initialize({ port, gidIndex, remoteAccess });
  }

  get address(): QueuePairAddress {
    const { lid, gid, mtu } = this.path;
    const { number } = this.#queuePair;
    return { number, psn: this.#psn, lid, gid: formatGid(gid), mtu };
  }

  /** A header for each slot: those of a source are written into those of its destination. */
  get headers(): MemoryRegion {
    return this.#headerRegion;
  }

  /** Errors: PORT_DOWN, NO_GID, IO. */
  connect({ number, psn, lid, gid, mtu }: QueuePairAddress): void {
    const { port, gidIndex } = this.path;
    this.#queuePair.connect(
      {
        ...{ port, gidIndex, psn: this.#psn, mtu: Math.min(mtu, this.path.mtu) },
        remoteAccess: this.#remoteAccess,
      },
      { number, psn, lid, gid: parseGid(gid) },
    );
  }

  /** For a reactor. */
  job(barrier: WireJob["barrier"]): WireJob {
    return {
      queuePair: this.#queuePair.handle,
      completions: this.#completions.handle,
      headersId: this.#headers.id,
      barrier,
    };
  }

  /** Nothing is sent or received any more: all that is under way ends. Errors: IO. */
  toError(): void {
    this.#queuePair.toError();
  }

  /**
   * The NIC reaches no memory of this end any more when this returns, the slots' included. No reactor
   * may run. Idempotent. Errors: IO.
   */
  close(): void {
    tryAll(this.#closes.splice(0).reverse());
  }

  #closing<T extends { close(): void }>(resource: T): T {
    this.#closes.push(() => {
      resource.close();
    });
    return resource;
  }
}
