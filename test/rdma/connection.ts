/** Two queue pairs of one process, connected to each other, and requests to them. */
import assert from "node:assert/strict";
import { addon, type NativeMemory } from "#lib/addon.js";
import type {
  NativeCompletionQueue,
  NativeConnectionOptions,
  NativeMemoryRegion,
  NativeProtectionDomain,
  NativeQueuePair,
} from "#lib/rdma-addon.js";
import { ACCESS, ALL_ACCESS, gidOf, type RdmaPorts } from "./machine.js";

/** native/core/rdma_ring.h: opcodes, flags, and where the fields of the records are. */
export const OPCODE = { write: 0, writeImmediate: 1, send: 2, sendImmediate: 3, read: 4 };
export const FLAG = { fence: 1, signaled: 2, solicited: 4, inline: 8 };
/** ibv_wc_opcode. */
export const COMPLETED = { send: 0, write: 1, read: 2, receive: 128, receiveWriteImmediate: 129 };

/** Requests of each kind that are posted at most. */
const ENTRIES = 16;
const SEND_HEADER = 40;
const RECEIVE_HEADER = 16;
const COMPLETION_BYTES = 64;
/** Where PostCall and PollCall, behind the records, have what they answer, and when that was. */
const ANSWER = 8;
const TIME = 16;
const WITH_IMMEDIATE = 2;

export interface Sge {
  readonly region: NativeMemoryRegion;
  /** From the begin of the region. */
  readonly offset: number;
  readonly length: number;
  readonly lkey?: number;
}

export interface SendRequest {
  readonly opcode: number;
  readonly sges: readonly Sge[];
  readonly id?: bigint;
  readonly flags?: number;
  readonly immediate?: number;
  readonly remote?: { address: bigint; rkey: number };
}

export interface Completion {
  readonly id: bigint;
  readonly status: number;
  readonly opcode: number;
  readonly bytes: number;
  /** Null where there is none. */
  readonly immediate: number | null;
  readonly queuePair: number;
}

/** Host memory, registered, with a view of its bytes. */
export interface Buffer {
  readonly memory: NativeMemory;
  readonly region: NativeMemoryRegion;
  readonly bytes: Uint8Array;
}

export class Queue {
  readonly native: NativeCompletionQueue;
  readonly #records: NativeMemory;
  readonly #view: DataView;

  constructor(native: NativeCompletionQueue) {
    this.native = native;
    this.#records = native.records();
    this.#view = new DataView(this.#records.buffer);
  }

  poll(room = this.native.entries): Completion[] {
    const call = this.native.entries * COMPLETION_BYTES;
    this.#view.setUint32(call, room, true);
    this.#view.setUint32(call + 4, 1, true);
    this.native.poll();
    const count = this.#view.getInt32(call + ANSWER, true);
    assert.ok(count >= 0, `poll: ${count}`);
    return Array.from({ length: count }, (_, index) => {
      const at = index * COMPLETION_BYTES;
      const word = (offset: number): number => this.#view.getUint32(at + offset, true);
      return {
        id: this.#view.getBigUint64(at, true),
        status: word(8),
        opcode: word(12),
        bytes: word(16),
        immediate: (word(28) & WITH_IMMEDIATE) === 0 ? null : word(20),
        queuePair: word(24),
      };
    });
  }

  /** When it found some last, nanoseconds of the clock of process.hrtime(). */
  get polledAt(): bigint {
    return this.#view.getBigUint64(this.native.entries * COMPLETION_BYTES + TIME, true);
  }

  /** So many completions, in their order, within seconds. */
  async take(count: number): Promise<Completion[]> {
    const found: Completion[] = [];
    const until = performance.now() + 20_000;
    while (found.length < count) {
      found.push(...this.poll());
      if (found.length >= count) break;
      assert.ok(performance.now() < until, `${found.length} of ${count} completions came`);
      await new Promise(setImmediate);
    }
    return found;
  }

  close(): void {
    this.#records.close();
    this.native.close();
  }
}

/** A queue pair, with what it posts from. */
export class Pair {
  readonly native: NativeQueuePair;
  readonly #rings: readonly [NativeMemory, NativeMemory];
  readonly #sends: DataView;
  readonly #receives: DataView;
  /** Records of each ring, as the addon rounds up what was asked for. */
  readonly #records: number;
  #sent = 0;
  #received = 0;
  /** When it posted last, nanoseconds of the clock of process.hrtime(). */
  postedAt = 0n;

  constructor(native: NativeQueuePair, entries = ENTRIES) {
    this.native = native;
    this.#records = 2 ** Math.ceil(Math.log2(entries));
    this.#rings = [native.sends(), native.receives()];
    [this.#sends, this.#receives] = this.#rings.map(({ buffer }) => new DataView(buffer)) as [
      DataView,
      DataView,
    ];
  }

  /** Posts all of them in one call, and gives what that returned. */
  send(...requests: SendRequest[]): number {
    const first = this.#sent;
    for (const request of requests) {
      const at = (this.#sent++ % this.#records) * this.native.sendStride;
      this.#sends.setBigUint64(at, request.id ?? 0n, true);
      const words = [
        request.opcode,
        request.flags ?? FLAG.signaled,
        request.immediate ?? 0,
        request.sges.length,
      ];
      words.forEach((word, index) => {
        this.#sends.setUint32(at + 8 + 4 * index, word, true);
      });
      this.#sends.setBigUint64(at + 24, request.remote?.address ?? 0n, true);
      this.#sends.setUint32(at + 32, request.remote?.rkey ?? 0, true);
      writeSges(this.#sends, at + SEND_HEADER, request.sges);
    }
    return this.postSends(first, requests.length);
  }

  /** What the addon answers where so many records are to be posted. */
  postSends(first: number, count: number): number {
    const { sendStride, postSends } = this.native;
    return this.#post(this.#sends, sendStride, postSends, first, count);
  }

  /** send() of requests to receive. */
  receive(...requests: { sges: readonly Sge[]; id?: bigint }[]): number {
    const first = this.#received;
    for (const { sges, id = 0n } of requests) {
      const at = (this.#received++ % this.#records) * this.native.receiveStride;
      this.#receives.setBigUint64(at, id, true);
      this.#receives.setUint32(at + 8, sges.length, true);
      writeSges(this.#receives, at + RECEIVE_HEADER, sges);
    }
    const { receiveStride, postReceives } = this.native;
    return this.#post(this.#receives, receiveStride, postReceives, first, requests.length);
  }

  #post(ring: DataView, stride: number, post: () => void, first: number, count: number): number {
    const call = this.#records * stride;
    ring.setUint32(call, first, true);
    ring.setUint32(call + 4, count, true);
    post();
    this.postedAt = ring.getBigUint64(call + TIME, true);
    return ring.getInt32(call + ANSWER, true);
  }

  close(): void {
    for (const ring of this.#rings) ring.close();
    this.native.close();
  }
}

function writeSges(ring: DataView, start: number, sges: readonly Sge[]): void {
  sges.forEach(({ region, offset, length, lkey = region.lkey }, index) => {
    const at = start + 16 * index;
    ring.setBigUint64(at, region.address + BigInt(offset), true);
    ring.setUint32(at + 8, length, true);
    ring.setUint32(at + 12, lkey, true);
  });
}

export interface ConnectOptions {
  readonly entries?: number;
  readonly sge?: number;
  readonly inlineBytes?: number;
  readonly connection?: NativeConnectionOptions;
}

/** Both ends, each with a completion queue of its own, and what is made on the way. */
export class Connection {
  readonly domain: NativeProtectionDomain;
  readonly queues: readonly [Queue, Queue];
  readonly pairs: readonly [Pair, Pair];
  readonly #buffers: Buffer[] = [];

  constructor({ device, ports }: RdmaPorts, options: ConnectOptions = {}) {
    const { entries = ENTRIES, sge = 4, inlineBytes = 0, connection = {} } = options;
    this.domain = device.allocateDomain();
    const queue = (): Queue => new Queue(device.createCompletionQueue(4 * entries, true));
    this.queues = [queue(), queue()];
    const pair = (end: Queue): Pair =>
      new Pair(
        this.domain.createQueuePair(end.native, end.native, {
          ...{ sends: entries, receives: entries, sendSge: sge, receiveSge: sge, inlineBytes },
        }),
        entries,
      );
    this.pairs = [pair(this.queues[0]), pair(this.queues[1])];
    const sides = ports.map((port, end) => {
      const { index, gid } = gidOf(device, port);
      const { lid } = device.port(port);
      const { native } = this.pairs[end]!;
      const psn = 0xff_ff00 + end; // it wraps soon
      const remoteAccess = ACCESS.remoteWrite | ACCESS.remoteRead;
      const own = { port, gidIndex: index, psn, remoteAccess, ...connection };
      return { native, own, address: { number: native.number, psn, lid, gid } };
    });
    for (const { native, own } of sides) native.initialize(own);
    sides.forEach(({ native, own }, end) => {
      native.connect(own, sides[1 - end]!.address);
    });
  }

  buffer(length: number, access = ALL_ACCESS): Buffer {
    const memory = addon().allocatePinned(length, false);
    const region = this.domain.registerHost(memory, 0, length, access);
    const buffer = { memory, region, bytes: new Uint8Array(memory.buffer, 0, length) };
    this.#buffers.push(buffer);
    return buffer;
  }

  close(): void {
    for (const pair of this.pairs) pair.close();
    for (const queue of this.queues) queue.close();
    for (const { region, memory } of this.#buffers) {
      region.close();
      memory.close();
    }
    this.domain.close();
  }
}

/** Where in a buffer a remote request goes. */
export function remoteOf({ region }: Buffer, offset = 0): { address: bigint; rkey: number } {
  return { address: region.address + BigInt(offset), rkey: region.rkey };
}

/** All of a buffer, or a part of it, as a gather entry. */
export function part({ region }: Buffer, offset = 0, length = region.length - offset): Sge {
  return { region, offset, length };
}
