/** Copies between two machines without devices: stores in memory, streams that copy between them. */
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import { once } from "node:events";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import type { Endpoint } from "#lib/io/endpoint.js";
import { Histogram } from "#lib/reactor/histogram.js";
import type { CopyEnd, EndRequest, Machine, OpenRange } from "#lib/remote/machine.js";
import type { BlockSpan } from "#lib/remote/windows.js";
import type { StreamEnd } from "#lib/stream/end.js";
import type { StreamOffer } from "#lib/stream/offer.js";
import type { StreamOutcome } from "#lib/stream/outcome.js";
import type { RunOptions } from "#lib/stream/run.js";
import { HOST } from "./exchange.js";
import { reset } from "./reset.js";

/** A namespace that forgets what was not flushed when it loses power. */
export class Store {
  readonly bytes: Buffer;
  durable: Buffer;
  readonly blockSize: number;

  constructor(bytes: Buffer, blockSize = 512) {
    this.bytes = bytes;
    this.durable = Buffer.from(bytes);
    this.blockSize = blockSize;
  }

  flush(): void {
    this.durable = Buffer.from(this.bytes);
  }

  losePower(): void {
    this.durable.copy(this.bytes);
  }
}

/** What streams find each other by. */
export type Wire = Map<number, FakeStream>;

export class FakeMachine implements Machine {
  readonly stores: ReadonlyMap<string, Store>;
  readonly #wire: Wire;
  /** Called before each block of a stream that this machine is the source of: it may break things. */
  onBlock: ((block: number) => void | Promise<void>) | undefined;
  /** Changes what arrives here. */
  spoil: ((block: number, bytes: Buffer) => void) | undefined;
  /** Streams that are open. */
  open = 0;
  /** What is found at an address may become another thing. */
  alter: (range: OpenRange) => OpenRange = (range) => range;
  /** Called before an end is opened, and before it is closed: either may fail. */
  onOpen: (() => void) | undefined;
  onClose: (() => void) | undefined;
  /** Why blocks rest where they do. */
  reason = "it is a fake";
  /** How long a command may take here: milliseconds. */
  commandMs = 30_000;

  constructor(wire: Wire, stores: Record<string, Store>) {
    this.#wire = wire;
    this.stores = new Map(Object.entries(stores));
  }

  range({ device, nsid, offset, length }: Endpoint): Promise<OpenRange> {
    const store = this.#store({ device, nsid });
    const range = {
      place: { name: `${device}/${nsid}`, offset, blockSize: store.blockSize },
      bytes: length ?? store.bytes.length - offset,
      ...{ identity: `S1, namespace ${nsid}`, volume: `${device}/${nsid}` },
    };
    return Promise.resolve(this.alter(range));
  }

  async openEnd(request: EndRequest): Promise<CopyEnd> {
    await Promise.resolve();
    this.onOpen?.();
    this.open++;
    const store = this.#store(request.endpoint);
    const stream = new FakeStream(this.#wire, this, store, request);
    const { size, bs } = request;
    const { offset } = request.endpoint;
    const volume = {
      verifiedBytes: 0,
      sums: ({ first, count }: BlockSpan) => {
        const sums = Array.from({ length: count }, (_, index) => {
          const start = (first + index) * bs;
          const end = Math.min(size, start + bs);
          volume.verifiedBytes += end - start;
          return addon().crc32c(store.bytes.subarray(offset + start, offset + end));
        });
        return Promise.resolve(Uint32Array.from(sums));
      },
      flush: () => {
        store.flush();
        return Promise.resolve();
      },
      close: () => undefined,
    };
    return { stream, volume, commandMs: this.commandMs };
  }

  #store({ device, nsid }: Pick<Endpoint, "device" | "nsid">): Store {
    const store = this.stores.get(`${device}/${nsid}`);
    if (store !== undefined) return store;
    throw new P2pError("NO_NAMESPACE", `${device} has no namespace ${nsid}`);
  }
}

let lastNumber = 0;

class FakeStream {
  readonly staging: StreamEnd["staging"];
  readonly offer: StreamOffer;
  written = 0;
  readonly #wire: Wire;
  readonly #machine: FakeMachine;
  readonly #store: Store;
  readonly #request: EndRequest;
  #peer: FakeStream | undefined;
  #isClosed = false;
  #onEnd: (() => void) | undefined;

  constructor(wire: Wire, machine: FakeMachine, store: Store, request: EndRequest) {
    this.#wire = wire;
    this.#machine = machine;
    this.#store = store;
    this.#request = request;
    this.staging = { memory: "host", reason: machine.reason };
    const { role, size, bs, iodepth } = request;
    const region = (bytes: number) => ({ address: "4096", rkey: 1, bytes });
    this.offer = {
      role,
      queuePair: { number: ++lastNumber, psn: 0, lid: 0, gid: "00".repeat(16), mtu: 1024 },
      ...{ slots: iodepth, stride: bs, blockBytes: bs, size },
      ...{ data: region(iodepth * bs), headers: region(iodepth * 32) },
    };
    wire.set(this.offer.queuePair.number, this);
  }

  connect(remote: StreamOffer): void {
    this.#peer = this.#wire.get(remote.queuePair.number);
  }

  async run(options: RunOptions): Promise<StreamOutcome> {
    const { signal } = options;
    const { size, bs, role, first } = this.#request;
    this.written = first;
    const blocks = Math.ceil(size / bs);
    if (role === "destination") {
      await new Promise<void>((resolve, reject) => {
        this.#onEnd = resolve;
        const interrupt = (): void => {
          reject(new P2pError("INTERRUPTED", "interrupted"));
        };
        signal?.addEventListener("abort", interrupt);
        if (signal?.aborted === true) interrupt();
      });
      return outcomeOf(first, blocks, size, bs);
    }
    const peer = this.#peer;
    if (peer === undefined) throw retriesExceeded(); // nobody has the queue pair that was offered
    for (let block = first; block < blocks; block++) {
      await this.#machine.onBlock?.(block);
      await new Promise(setImmediate);
      if (signal?.aborted === true) throw new P2pError("INTERRUPTED", "interrupted");
      const { offset } = this.#request.endpoint;
      const start = offset + block * bs;
      await peer.#take(
        block,
        this.#store.bytes.subarray(start, Math.min(start + bs, offset + size)),
        signal,
      );
      options.onProgress?.((block + 1 - first) * bs);
    }
    while (peer.#onEnd === undefined) {
      await new Promise(setImmediate);
      if (signal?.aborted === true) throw new P2pError("INTERRUPTED", "interrupted");
    }
    peer.#onEnd();
    return outcomeOf(first, blocks, size, bs);
  }

  assertIntact(): void {
    // Its memory never fails.
  }

  async close(): Promise<void> {
    await Promise.resolve();
    if (!this.#isClosed) this.#machine.open--;
    this.#isClosed = true;
    this.#machine.onClose?.();
  }

  async #take(block: number, bytes: Buffer, signal?: AbortSignal): Promise<void> {
    while (this.#onEnd === undefined && !this.#isClosed && signal?.aborted !== true)
      await new Promise(setImmediate);
    if (this.#isClosed || this.#onEnd === undefined) throw retriesExceeded();
    const { bs, endpoint } = this.#request;
    const arrived = Buffer.from(bytes);
    this.#machine.spoil?.(block, arrived);
    arrived.copy(this.#store.bytes, endpoint.offset + block * bs);
    this.written = block + 1;
  }
}

function retriesExceeded(): P2pError {
  return new P2pError("RDMA_STATUS", "the write of a block: transport retry counter exceeded");
}

function outcomeOf(first: number, blocks: number, size: number, bs: number): StreamOutcome {
  const bytes = Math.max(0, size - first * bs);
  const traffic = {
    ...({ source: "derived", host_memory_bytes: 2 * bytes, host_control_bytes: null } as const),
    ...{ root_complex_bytes: null, links: null },
  };
  return {
    ...{ bytes, blocks: blocks - first, runtimeNs: 1e6, latency: new Histogram() },
    cpu: { userNs: 1, systemNs: 1, busyNs: 1, deviceNs: null },
    ...{ traffic, ownTraffic: traffic, iodepth: 1, notes: [] },
  };
}

/** A network that can be cut. */
export class Network {
  readonly #server: NetServer;
  readonly #sockets = new Set<Socket>();
  /** Where it leads; null: nowhere, now. */
  target: number | null;
  port = 0;

  constructor(target: number) {
    this.target = target;
    this.#server = createServer((near) => {
      if (this.target === null) {
        near.destroy();
        return;
      }
      const far = connect({ host: HOST, port: this.target });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
  }

  async open(): Promise<this> {
    this.#server.listen(0, HOST);
    await once(this.#server, "listening");
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  cut(): void {
    for (const socket of this.#sockets) reset(socket);
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
