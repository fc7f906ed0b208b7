/**
 * The smallest driver that can put a loopback machine to the test: it writes registers and queue
 * entries as they are told, right or wrong, which the library's driver never would.
 */
import assert from "node:assert/strict";
import {
  addon,
  type NativeAddressSpace,
  type NativeDevice,
  type NativeLoopbackMachine,
  type NativeMemory,
  type NativeRegion,
  type NativeTraffic,
} from "#lib/addon.js";
import {
  builtinMachines,
  type MachineConfiguration,
  type NvmeConfiguration,
} from "#lib/platform/machine-schema.js";

/** Where the default machine has its devices. */
export const NVME0 = "0000:03:00.0"; // with a CMB
export const NVME1 = "0000:04:00.0";
export const CARD = "0000:05:00.0";
export const NVME2 = "0000:06:00.0"; // on a root port of its own

export const PAGE = 4096;
const READ_WRITE = { read: true, write: true };
const PATIENCE = 10_000_000_000n; // nanoseconds; only a broken machine takes that long

/** NVMe 1.4 §3.1. */
export const Register = {
  CAP: 0x00,
  VS: 0x08,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ACQ: 0x30,
  CMBLOC: 0x38,
  CMBSZ: 0x3c,
  CMBMSC: 0x50,
  CMBSTS: 0x58,
} as const;

/** CC with EN, IOSQES 6 and IOCQES 4. */
export const CC_ENABLE = 1 | (6 << 16) | (4 << 20);
export const RDY = 1;
export const CFS = 2;

export interface Fields {
  opcode: number;
  nsid?: number;
  prp1?: number;
  prp2?: number;
  /** In place of both, 16 bytes: an SGL descriptor. */
  sgl?: Uint8Array;
  /** Command dwords 10 to 15. */
  dwords?: number[];
  cid?: number;
}

export interface Completion {
  cid: number;
  /** 15 bits: SC, SCT, more, do not retry. */
  status: number;
  result: number;
  sqHead: number;
  sqId: number;
}

/** The default machine with something else about its first controller, NVME0. */
export function machineWith(change: Partial<NvmeConfiguration>): MachineConfiguration {
  const machine = structuredClone(builtinMachines.default);
  const below = machine.rootPorts[0]?.device;
  assert.ok(below?.kind === "switch" && below.ports[0]?.device.kind === "nvme");
  Object.assign(below.ports[0].device, change);
  return machine;
}

export function waitFor(what: string, isDone: () => boolean): void {
  const start = process.hrtime.bigint();
  while (!isDone())
    if (process.hrtime.bigint() - start > PATIENCE) assert.fail(`waited in vain for ${what}`);
}

/** A loopback machine, one address space in it, and some host memory that its devices can reach. */
export class Bench {
  readonly native: NativeLoopbackMachine;
  readonly space: NativeAddressSpace;
  readonly #devices = new Map<string, NativeDevice>();
  readonly #memories: NativeMemory[] = [];
  #nextIova = 0x10_0000;

  constructor(configuration: MachineConfiguration = builtinMachines.default) {
    this.native = addon().createLoopbackMachine(configuration);
    this.space = this.native.openAddressSpace();
  }

  device(address: string): NativeDevice {
    let device = this.#devices.get(address);
    if (!device) this.#devices.set(address, (device = this.space.openDevice(address)));
    return device;
  }

  /** Another device of the same address is to be opened. */
  forget(address: string): void {
    this.#devices.delete(address);
  }

  /** Host memory of at least `size` bytes that devices reach at the IOVA that comes with it. */
  host(size: number, access = READ_WRITE): HostMemory {
    const memory = addon().allocatePinned(size, false);
    this.#memories.push(memory);
    const iova = this.#nextIova;
    this.#nextIova += memory.size + PAGE;
    this.space.map(memory, 0, memory.size, BigInt(iova), access);
    return view(memory, iova);
  }

  /** The RAM of a BAR; `bytes` and `words` look into it, which no real device would stand. */
  peerMemory(address: string, bar = 2): HostMemory {
    const region = this.device(address).region(bar);
    const memory = region.map(0, region.size);
    this.#memories.push(memory);
    return view(memory, this.busAddress(address, bar));
  }

  /** The same, mapped for all devices at its bus address. */
  peer(address: string, bar = 2): HostMemory {
    const peer = this.peerMemory(address, bar);
    this.space.map(peer.memory, 0, peer.memory.size, BigInt(peer.iova), READ_WRITE);
    return peer;
  }

  busAddress(address: string, bar: number): number {
    const fn = this.native.functions().find((each) => each.address === address);
    return Number(fn?.resources[bar]?.start);
  }

  keep(memory: NativeMemory): NativeMemory {
    this.#memories.push(memory);
    return memory;
  }

  nvme(address: string): RawNvme {
    return new RawNvme(this, address);
  }

  link(address: string): NativeTraffic["links"][number] {
    const link = this.native.traffic().links.find((each) => each.address === address);
    return link ?? assert.fail(`there is no link ${address}`);
  }

  close(): void {
    for (const device of this.#devices.values()) device.close();
    this.space.close();
    for (const memory of this.#memories) memory.close();
    this.native.close();
  }
}

export interface HostMemory {
  memory: NativeMemory;
  iova: number;
  bytes: Uint8Array;
  words: Int32Array;
}

function view(memory: NativeMemory, iova: number): HostMemory {
  const { buffer } = memory;
  return { memory, iova, bytes: new Uint8Array(buffer), words: new Int32Array(buffer) };
}

/** One submission and one completion queue of the same depth. */
export class RawQueue {
  readonly qid: number;
  readonly depth: number;
  readonly sq: { iova: number; words: Int32Array };
  readonly cq: { iova: number; words: Int32Array };
  readonly #doorbells: Int32Array;
  readonly #stride: number;
  tail = 0;
  head = 0;
  phase = 1;
  #nextCid = 1;

  constructor(
    qid: number,
    depth: number,
    sq: RawQueue["sq"],
    cq: RawQueue["cq"],
    doorbells: Int32Array,
    stride: number,
  ) {
    this.qid = qid;
    this.depth = depth;
    this.sq = sq;
    this.cq = cq;
    this.#doorbells = doorbells;
    this.#stride = stride;
  }

  /** Writes an entry at the tail, without ringing; answers with its command identifier. */
  push(fields: Fields): number {
    const cid = fields.cid ?? (this.#nextCid = (this.#nextCid + 1) & 0xffff);
    const entry = new Int32Array(16);
    entry[0] = fields.opcode | (cid << 16);
    entry[1] = fields.nsid ?? 0;
    setAddress(entry, 6, fields.prp1 ?? 0);
    setAddress(entry, 8, fields.prp2 ?? 0);
    if (fields.sgl) new Uint8Array(entry.buffer).set(fields.sgl, 24);
    entry.set(fields.dwords ?? [], 10);
    this.sq.words.set(entry, this.tail * 16);
    this.tail = (this.tail + 1) % this.depth;
    return cid;
  }

  ring(tail = this.tail): void {
    this.#doorbells[2 * this.qid * this.#stride] = tail;
  }

  acknowledge(head = this.head): void {
    this.#doorbells[(2 * this.qid + 1) * this.#stride] = head;
  }

  /** The next completion if it is there. */
  poll(): Completion | null {
    const at = this.head * 4;
    const last = Atomics.load(this.cq.words, at + 3);
    if (((last >>> 16) & 1) !== this.phase) return null;
    if (++this.head === this.depth) {
      this.head = 0;
      this.phase ^= 1;
    }
    const where = this.cq.words[at + 2] ?? 0;
    return {
      cid: last & 0xffff,
      status: last >>> 17,
      result: (this.cq.words[at] ?? 0) >>> 0,
      sqHead: where & 0xffff,
      sqId: where >>> 16,
    };
  }

  wait(): Completion {
    const found: Completion[] = [];
    waitFor(`a completion in queue ${this.qid}`, () => {
      const completion = this.poll();
      if (completion) found.push(completion);
      return completion !== null;
    });
    return found[0] ?? assert.fail();
  }

  /** One command from start to end. */
  run(fields: Fields): Completion {
    const cid = this.push(fields);
    this.ring();
    const completion = this.wait();
    assert.equal(completion.cid, cid);
    this.acknowledge();
    return completion;
  }
}

function setAddress(entry: Int32Array, at: number, address: number): void {
  entry[at] = address % 2 ** 32;
  entry[at + 1] = Math.floor(address / 2 ** 32);
}

export class RawNvme {
  readonly bench: Bench;
  readonly device: NativeDevice;
  readonly bar0: NativeRegion;
  readonly doorbells: Int32Array;
  /** Doorbells are that many 32-bit words apart (CAP.DSTRD). */
  readonly stride: number;
  /** For identify data and the like. */
  readonly scratch: HostMemory;
  admin!: RawQueue;

  constructor(bench: Bench, address: string) {
    this.bench = bench;
    this.device = bench.device(address);
    this.bar0 = this.device.region(0);
    this.stride = 2 ** Number((this.bar0.read64(Register.CAP) >> 32n) & 0xfn);
    const extent = this.bar0.mappable[0] ?? assert.fail("the doorbells cannot be mapped");
    const memory = bench.keep(this.bar0.map(extent.offset, extent.length));
    this.doorbells = new Int32Array(memory.buffer);
    this.scratch = bench.host(1 << 20);
  }

  csts(): number {
    return this.bar0.read32(Register.CSTS);
  }

  queue(qid: number, depth: number): RawQueue {
    const sqBytes = Math.ceil((depth * 64) / PAGE) * PAGE;
    const memory = this.bench.host(sqBytes + Math.ceil((depth * 16) / PAGE) * PAGE);
    const cq = {
      iova: memory.iova + sqBytes,
      words: new Int32Array(memory.memory.buffer, sqBytes),
    };
    return new RawQueue(qid, depth, memory, cq, this.doorbells, this.stride);
  }

  /** Sets up the admin queue and enables the controller. */
  enable(depth = 32): this {
    this.enableWithoutWaiting(depth);
    waitFor("CSTS.RDY", () => (this.csts() & RDY) !== 0);
    return this;
  }

  enableWithoutWaiting(depth = 32): void {
    this.device.setBusMaster(true);
    this.admin = this.queue(0, depth);
    this.bar0.write32(Register.AQA, (depth - 1) | ((depth - 1) << 16));
    this.bar0.write64(Register.ASQ, BigInt(this.admin.sq.iova));
    this.bar0.write64(Register.ACQ, BigInt(this.admin.cq.iova));
    this.bar0.write32(Register.CC, CC_ENABLE);
  }

  /** Creates an I/O queue pair; fails where the controller refuses. */
  createPair(queue: RawQueue): RawQueue {
    assert.equal(this.createCq(queue.qid, queue.depth, queue.cq.iova).status, 0);
    assert.equal(this.createSq(queue.qid, queue.depth, queue.sq.iova, queue.qid).status, 0);
    return queue;
  }

  createCq(qid: number, depth: number, iova: number, flags = 1): Completion {
    const size = qid | ((depth - 1) << 16);
    return this.admin.run({ opcode: 0x05, prp1: iova, dwords: [size, flags] });
  }

  createSq(qid: number, depth: number, iova: number, cqid: number, flags = 1): Completion {
    const size = qid | ((depth - 1) << 16);
    return this.admin.run({ opcode: 0x01, prp1: iova, dwords: [size, flags | (cqid << 16)] });
  }

  identify(cns: number, nsid = 0): { status: number; data: DataView } {
    const { status } = this.admin.run({
      opcode: 0x06,
      nsid,
      prp1: this.scratch.iova,
      dwords: [cns],
    });
    return { status, data: new DataView(this.scratch.memory.buffer, 0, PAGE) };
  }
}

/** PSDT 01b of an opcode, in entry dword 0: the data pointer is an SGL descriptor. */
export const SGL = 1 << 14;

/** Dwords 10 to 12 of a read, write or compare. */
export function blocks(lba: number, count: number): number[] {
  return [lba % 2 ** 32, Math.floor(lba / 2 ** 32), count - 1];
}

export const WRITE = 0x01;
export const READ = 0x02;
