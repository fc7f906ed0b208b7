/** An RDMA device that keeps count, in place of the addon's. */
import type { NativeMemory } from "#lib/addon.js";
import type {
  NativeMemoryRegion,
  NativeQueuePair,
  NativeRdmaAttributes,
  NativeRdmaDevice,
  NativeRdmaGid,
  NativeRdmaPort,
} from "#lib/rdma-addon.js";

export const FAKE_ATTRIBUTES: NativeRdmaAttributes = {
  ...{ firmware: "1", nodeGuid: 1n, vendorId: 1, partId: 1, maxRegionBytes: 2n ** 31n },
  ...{ maxQueuePairs: 8, maxQueueEntries: 64, maxSge: 16, maxCompletionQueues: 8 },
  ...{ maxCompletionEntries: 64, maxRegions: 8, maxReadsAsTarget: 1, maxReadsAsInitiator: 1 },
  ...{ deviceMemoryBytes: 0, deviceMemoryForPeers: false, ports: 1, onDemandPaging: null },
};

export const ACTIVE: NativeRdmaPort = {
  ...{ state: 4, linkLayer: "ethernet", mtu: 1024, lid: 0, gigabits: null },
};

export interface FakeRdma {
  name?: string;
  attributes?: Partial<NativeRdmaAttributes>;
  ports?: readonly NativeRdmaPort[];
  gids?: readonly NativeRdmaGid[];
}

export class FakeRdmaDevice {
  readonly native: NativeRdmaDevice;
  /** What was done, in its order. */
  readonly log: string[] = [];
  /** What is to throw, by its line in the log. */
  readonly failures = new Map<string, Error>();
  /** What the device's events are told to. */
  onEvent: ((type: number, queuePair: number, port: number) => void) | null = null;
  #queuePairs = 0;
  #regions = 0;

  constructor({ name = "fake0", attributes = {}, ports = [ACTIVE], gids = [] }: FakeRdma = {}) {
    this.native = {
      id: 1,
      name,
      attributes: () => ({ ...FAKE_ATTRIBUTES, ports: ports.length, ...attributes }),
      port: (number: number) => ports[number - 1]!,
      gids: () => [...gids],
      allocateDomain: () => ({
        registerHost: (_memory: NativeMemory, offset: number, length: number, access: number) =>
          this.#region(`host ${offset}+${length}`, BigInt(0x1000_0000 + offset), length, access),
        registerDmabuf: (fd: number, offset: number, length: number, address: bigint) =>
          this.#region(`dmabuf ${fd} ${offset}+${length}`, address, length, 0),
        createQueuePair: () => this.#queuePair(),
        close: this.#does("close domain"),
      }),
      createCompletionQueue: () => ({
        entries: 64,
        records: () => fakeMemory(8192),
        poll: () => 0,
        close: this.#does("close completion queue"),
      }),
      allocateMemory: this.#does("allocate memory"),
      onEvent: (handler: typeof this.onEvent) => {
        this.onEvent = handler;
      },
      close: this.#does(`close ${name}`),
    } as unknown as NativeRdmaDevice;
  }

  #does(what: string): () => void {
    return () => {
      this.log.push(what);
      const failure = this.failures.get(what);
      if (failure !== undefined) throw failure;
    };
  }

  #region(what: string, address: bigint, length: number, access: number): NativeMemoryRegion {
    const key = ++this.#regions;
    this.#does(`register ${what}${access === 0 ? "" : ` ${access}`}`)();
    return { lkey: key, rkey: 100 + key, address, length, close: this.#does(`close key ${key}`) };
  }

  #queuePair(): NativeQueuePair {
    const number = ++this.#queuePairs;
    return {
      number,
      maxInline: 64,
      sends: () => fakeMemory(8192),
      receives: () => fakeMemory(8192),
      sendStride: 64,
      receiveStride: 64,
      toError: this.#does(`fail queue pair ${number}`),
      close: this.#does(`close queue pair ${number}`),
    } as unknown as NativeQueuePair;
  }
}

export function fakeMemory(size: number, kind: "host" | "device" = "host"): NativeMemory {
  return { size, kind, buffer: new ArrayBuffer(size), close: () => undefined } as NativeMemory;
}
