/**
 * The part of the addon's face that is about RDMA devices, whoever makes them: the kernel's by
 * libibverbs, the loopback machine's NIC. Names and numbers are those of infiniband/verbs.h.
 */
import type { NativeMemory } from "./addon.js";

export interface NativeRdmaAttributes {
  firmware: string;
  nodeGuid: bigint;
  vendorId: number;
  partId: number;
  maxRegionBytes: bigint;
  maxQueuePairs: number;
  maxQueueEntries: number;
  maxSge: number;
  maxCompletionQueues: number;
  maxCompletionEntries: number;
  maxRegions: number;
  maxReadsAsTarget: number;
  maxReadsAsInitiator: number;
  /** The most there is of the device's own memory, bytes; 0: none. */
  deviceMemoryBytes: number;
  /** Whether other devices can be let at it: allocateMemory(). */
  deviceMemoryForPeers: boolean;
  ports: number;
  /** Of RC queue pairs; null where the device reports none. */
  onDemandPaging: {
    implicit: boolean;
    send: boolean;
    receive: boolean;
    write: boolean;
    read: boolean;
  } | null;
}

export interface NativeRdmaPort {
  /** ibv_port_state: 1 down, 2 initialising, 3 armed, 4 active. */
  state: number;
  linkLayer: "ethernet" | "infiniband";
  /** Active, bytes. */
  mtu: number;
  lid: number;
  /** Gigabits a second; null where not known. */
  gigabits: number | null;
}

export interface NativeRdmaGid {
  index: number;
  /** 16 bytes. */
  gid: Uint8Array;
  type: "infiniband" | "rocev1" | "rocev2";
}

export interface NativeQueuePairAddress {
  number: number;
  /** Of its first packet, 24 bits. */
  psn: number;
  lid: number;
  gid: Uint8Array;
}

/** native/core/rdma.h, ConnectionOptions: what is left out has the default that stands there. */
export interface NativeConnectionOptions {
  port?: number;
  gidIndex?: number;
  mtu?: number;
  remoteAccess?: number;
  psn?: number;
  readsAsTarget?: number;
  readsAsInitiator?: number;
  timeout?: number;
  retries?: number;
  rnrRetries?: number;
  minRnrTimer?: number;
  serviceLevel?: number;
  trafficClass?: number;
  hopLimit?: number;
}

export interface NativeMemoryRegion {
  readonly lkey: number;
  readonly rkey: number;
  /** What its first byte is called in gather entries and in remote requests. */
  readonly address: bigint;
  readonly length: number;
  /** The device reaches the memory no more when this returns. Idempotent. Errors: IO. */
  close(): void;
}

/**
 * Polled by one thread at a time. What openCompletionQueue() gives in another thread is
 * the same queue, with the same records in the same memory.
 */
export interface NativeCompletionQueue {
  /** Number by which another thread opens the same queue. */
  readonly id: number;
  readonly entries: number;
  /** Where poll() puts completions: `entries` records (rdma_ring.h: CompletionRecord), then a PollCall. */
  records(): NativeMemory;
  /** As the PollCall says, and answered there; from the first record on. Errors: CLOSED, GONE. */
  readonly poll: () => void;
  /** Asks for one event. Errors: IO. */
  arm(solicitedOnly: boolean): void;
  /**
   * Called on this environment's event loop for each event; null takes it away, which always succeeds.
   * Waiting for one does not keep the process alive. Errors: UNSUPPORTED without a channel.
   */
  onEvent(handler: (() => void) | null): void;
  /** Blocks this thread until an event or for so long; whether there was one. Errors: DEVICE_GONE. */
  waitEvent(timeoutMs: number): boolean;
  /**
   * By the thread that made it: closed for every thread, whose calls give GONE from then on. Errors:
   * IN_USE. In another one: only let go of. Idempotent.
   */
  close(): void;
}

export type NativeQueuePairState =
  "reset" | "init" | "ready-to-receive" | "ready-to-send" | "drained" | "send-error" | "error";

/**
 * Posted to by one thread at a time. What openQueuePair() gives in another thread is the
 * same queue pair, with the same rings in the same memory.
 */
export interface NativeQueuePair {
  /** Number by which another thread opens the same queue pair. */
  readonly id: number;
  readonly number: number;
  /** Bytes. */
  readonly maxInline: number;
  /**
   * Records that postSends() reads: a power of two of them, `sendStride` bytes apart; then a PostCall
   * (rdma_ring.h).
   */
  sends(): NativeMemory;
  receives(): NativeMemory;
  readonly sendStride: number;
  readonly receiveStride: number;
  initialize(options: NativeConnectionOptions): void;
  connect(options: NativeConnectionOptions, remote: NativeQueuePairAddress): void;
  toError(): void;
  state(): NativeQueuePairState;
  /** As the ring's PostCall says, and answered there. Errors: CLOSED, GONE. */
  readonly postSends: () => void;
  readonly postReceives: () => void;
  /**
   * By the thread that made it: closed for every thread, whose calls give GONE from then on. In another
   * one: only let go of. Idempotent.
   */
  close(): void;
}

export interface NativeProtectionDomain {
  /** Errors: NOT_REGISTERED, NO_ODP, REGION_TOO_LARGE, MEMLOCK, NO_MEMORY, IO. */
  registerHost(
    memory: NativeMemory,
    offset: number,
    length: number,
    access: number,
  ): NativeMemoryRegion;
  /** `keep` lives as long as the region. Errors: NO_DMABUF, BAD_DMABUF, REGION_TOO_LARGE, IO. */
  registerDmabuf(
    fd: number,
    offset: number,
    length: number,
    address: bigint,
    access: number,
    keep: NativeMemory | null,
  ): NativeMemoryRegion;
  /** Entries and gather entries; Errors: RDMA_LIMIT, IO. */
  createQueuePair(
    sends: NativeCompletionQueue,
    receives: NativeCompletionQueue,
    options: {
      sends: number;
      receives: number;
      sendSge?: number;
      receiveSge?: number;
      inlineBytes?: number;
    },
  ): NativeQueuePair;
  /** Idempotent; what was made of it lives on. */
  close(): void;
}

export interface NativeRdmaDevice {
  /** Number by which another thread opens the same device. */
  readonly id: number;
  readonly name: string;
  attributes(): NativeRdmaAttributes;
  port(number: number): NativeRdmaPort;
  /** Those that are set. */
  gids(port: number): NativeRdmaGid[];
  allocateDomain(): NativeProtectionDomain;
  createCompletionQueue(entries: number, channel: boolean): NativeCompletionQueue;
  /**
   * `length` bytes of the device's own memory, in whole pages: registered by registerHost(), and mapped
   * for other devices as a BAR is. Errors: NO_ROOM, DEVICE_GONE; UNSUPPORTED, where they cannot be let
   * at it (deviceMemoryForPeers).
   */
  allocateMemory(length: number): NativeMemory;
  /** Asynchronous events (ibv_event_type); null takes the handler away, which always succeeds. */
  onEvent(handler: ((type: number, queuePair: number, port: number) => void) | null): void;
  close(): void;
}
