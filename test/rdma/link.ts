/** Two queue pairs of one session, connected to each other, by lib/rdma. */
import assert from "node:assert/strict";
import { addon, type NativeMemory } from "#lib/addon.js";
import { CompletionQueue } from "#lib/rdma/completion-queue.js";
import type { RdmaDevice } from "#lib/rdma/device.js";
import type { MemoryRegion } from "#lib/rdma/memory-region.js";
import type { RdmaPath } from "#lib/rdma/path.js";
import type { ProtectionDomain } from "#lib/rdma/protection-domain.js";
import type { QueuePair } from "#lib/rdma/queue-pair.js";
import { Access, Opcode, SendFlag } from "#lib/rdma/spec.js";
import { Session } from "#lib/session.js";
import type { NativeConnectionOptions } from "#lib/rdma-addon.js";
import { isLab } from "./machine.js";

export const ALL = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_READ;
const REMOTE = Access.REMOTE_WRITE | Access.REMOTE_READ;

/** On the built-in machine with a NIC, or in the lab. */
export function openSession(): Promise<Session> {
  return Session.open(
    isLab ? { platform: "vfio" } : { platform: "loopback", machine: "rdma", timeout: 10 },
  );
}

/** One completion, as its queue told of it. */
export interface Completed {
  readonly tag: number;
  readonly status: number;
  readonly opcode: number;
  readonly bytes: number;
  readonly immediate: number | null;
  readonly isReceive: boolean;
}

export class Link {
  readonly device: RdmaDevice;
  readonly domain: ProtectionDomain;
  readonly paths: readonly [RdmaPath, RdmaPath];
  readonly queues: readonly [CompletionQueue, CompletionQueue];
  readonly pairs: readonly [QueuePair, QueuePair];
  readonly #memory: NativeMemory[] = [];

  constructor(device: RdmaDevice, connection: NativeConnectionOptions = {}) {
    this.device = device;
    this.domain = device.allocateDomain();
    // The loopback NIC's two ports are wired to each other; soft-RoCE's one reaches itself.
    this.paths = [device.choosePath(), device.choosePath({ port: device.attributes.ports })];
    const queue = (): CompletionQueue => device.createCompletionQueue(64);
    this.queues = [queue(), queue()];
    const pair = (sendCompletions: CompletionQueue): QueuePair =>
      this.domain.createQueuePair({
        ...{ sends: 10, receives: 10, sendSge: 4, receiveSge: 4, inlineBytes: 64 },
        sendCompletions,
      });
    this.pairs = [pair(this.queues[0]), pair(this.queues[1])];
    const own = this.paths.map((path) => ({ ...path, remoteAccess: REMOTE, ...connection }));
    this.pairs.forEach((end, side) => {
      end.initialize(own[side]!);
    });
    this.pairs.forEach((end, side) => {
      end.connect(own[side]!, this.pairs[1 - side]!.address(this.paths[1 - side]!));
    });
  }

  /** Host memory of a region that lives as long as this. */
  host(
    length: number,
    access: number = ALL,
  ): { region: MemoryRegion; memory: NativeMemory; bytes: Buffer } {
    const memory = addon().allocatePinned(length, false);
    this.#memory.push(memory);
    const region = this.domain.registerMemory(memory, 0, length, access);
    return { region, memory, bytes: Buffer.from(memory.buffer, 0, length) };
  }

  /** Writes `length` bytes from the begin of one region to `offset` in the other, by the first end. */
  write(from: MemoryRegion, to: MemoryRegion, length: number, offset = 0, tag = 0): void {
    const [end] = this.pairs;
    const { SIGNALED } = SendFlag;
    const remote = to.address + offset;
    end.sends.write(tag, Opcode.WRITE, SIGNALED, from.address, length, from.lkey, remote, to.rkey);
    end.flush();
  }

  /** So many completions of an end, within seconds. */
  async take(side: 0 | 1, count: number): Promise<Completed[]> {
    const queue = this.queues[side];
    const found: Completed[] = [];
    const until = performance.now() + 20_000;
    while (found.length < count) {
      const polled = queue.poll();
      for (let i = 0; i < polled; i++)
        found.push({
          ...{ tag: queue.tag(i), status: queue.status(i), opcode: queue.opcode(i) },
          ...{ bytes: queue.bytes(i), immediate: queue.immediate(i) },
          isReceive: queue.isReceive(i),
        });
      if (found.length >= count) break;
      assert.ok(performance.now() < until, `${found.length} of ${count} completions came`);
      await new Promise(setImmediate);
    }
    return found;
  }

  async statusOf(from: MemoryRegion, to: MemoryRegion, length: number): Promise<number> {
    this.write(from, to, length);
    return (await this.take(0, 1))[0]!.status;
  }

  close(): void {
    this.domain.close();
    for (const queue of this.queues) queue.close();
    for (const memory of this.#memory) memory.close();
  }
}
