/** Both ends of a stream over a model of their NVMe devices, of their memory and of the wire between. */
import assert from "node:assert/strict";
import type { NativeMemory } from "#lib/addon.js";
import type { QueuePair } from "#lib/nvme/queues/queue-pair.js";
import type { CompletionQueue } from "#lib/rdma/completion-queue.js";
import { IS_RECEIVE, ReceiveRing, SendRing } from "#lib/rdma/request-ring.js";
import { Opcode, SendFlag } from "#lib/rdma/spec.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { DestinationEngine } from "#lib/stream/destination-engine.js";
import { HEADER_BYTES, HEADER_WORDS } from "#lib/stream/header.js";
import type { DestinationJob, SourceJob, StreamJob } from "#lib/stream/job.js";
import { requestsOf } from "#lib/stream/requests.js";
import { SourceEngine } from "#lib/stream/source-engine.js";
import { Wire } from "#lib/stream/wire.js";
import { ModelQueue, READ, UNIT, WRITE } from "./copy-model.js";
import { engineJob, engineThread } from "./engine-thread.js";
import { fakePost } from "./fake-post.js";

/** Headers lie there, slots from 0 on. */
const HEADERS_AT = 2 ** 40;
const STRIDE = 64;
const LKEY = 77;
const RKEY = 88;

export interface StreamShape {
  blocks: number;
  blockUnits: number;
  lastUnits: number;
  sourceSlots: number;
  destinationSlots: number;
  commandUnits: number;
  first: number;
}

export const plainStream: StreamShape = {
  ...{ blocks: 40, blockUnits: 32, lastUnits: 8, sourceSlots: 4, destinationSlots: 4 },
  ...{ commandUnits: 8, first: 0 },
};

export const SOURCE_UNIT = 800;
export const DESTINATION_UNIT = 1600;

interface Request {
  id: number;
  tag: number;
  opcode: number;
  flags: number;
  immediate: number;
  address: number;
  length: number;
  remote: number;
}

interface Completion {
  tag: number;
  number: number;
  status: number;
  immediate: number | null;
}

/** A queue pair, its completion queue, and the memory that the NIC sees. */
export class ModelEnd {
  readonly headers: Uint32Array;
  /** By unit of the slots. */
  readonly memory = new Map<number, number>();
  readonly sends: SendRing;
  readonly receives: ReceiveRing;
  /** Posted, in their order. */
  readonly requests: Request[] = [];
  readonly granted: number[] = [];
  readonly waiting: Completion[] = [];
  posts = 0;
  polls = 0;
  barriers = 0;
  /** What a device has written to the slots may still be on its way there. */
  isDirty = false;
  #polled: Completion[] = [];
  readonly #step: () => void;

  constructor(slots: number, step: () => void) {
    this.#step = step;
    const { sends, receives } = requestsOf(slots);
    const memory = (entries: number): { native: NativeMemory; words: Uint32Array } => {
      const buffer = new ArrayBuffer((entries + 1) * STRIDE); // behind the records: a PostCall
      return { native: { buffer } as NativeMemory, words: new Uint32Array(buffer) };
    };
    const [sendMemory, receiveMemory] = [memory(sends), memory(receives)];
    const shape = { stride: STRIDE, maxSge: 1 };
    const post = fakePost(sendMemory.native, sends * STRIDE, (first, count) => {
      this.posts++;
      for (let i = 0; i < count; i++) {
        const request = readRequest(sendMemory.words, ((first + i) % sends) * (STRIDE / 4));
        assert.ok(request.opcode !== Opcode.WRITE || !this.isDirty, "a barrier before a NIC reads");
        this.requests.push(request);
      }
      assert.ok(this.sends.inFlight + count <= sends, "no more than the ring holds");
      return count;
    });
    this.sends = new SendRing(sendMemory.native, { ...shape, entries: sends }, 0, post);
    this.receives = new ReceiveRing(
      receiveMemory.native,
      { ...shape, entries: receives },
      fakePost(receiveMemory.native, receives * STRIDE, (first, count) => {
        for (let i = 0; i < count; i++)
          this.granted.push(receiveMemory.words[((first + i) % receives) * (STRIDE / 4) + 1]!);
        assert.ok(this.granted.length <= receives);
        return count;
      }),
    );
    this.headers = new Uint32Array(slots * HEADER_WORDS);
  }

  get wire(): Wire {
    const flush = (): void => {
      assert.equal(this.receives.flush() || this.sends.flush(), 0);
    };
    const completions = {
      poll: () => this.#poll(),
      tag: (index: number) => this.#polled[index]!.tag,
      status: (index: number) => this.#polled[index]!.status,
      isReceive: (index: number) => this.#polled[index]!.number >= IS_RECEIVE,
      immediate: (index: number) => this.#polled[index]!.immediate,
      vendorError: () => 0,
    } as unknown as CompletionQueue;
    const pass = (): void => {
      this.barriers++;
      this.isDirty = false;
    };
    const { sends, receives } = this;
    return new Wire({ sends, receives, flush }, completions, this.headers, { pass });
  }

  complete(number: number, tag: number, status = 0, immediate: number | null = null): void {
    this.waiting.push({ number, tag, status, immediate });
  }

  /** All that is posted ends with a status. */
  fail(status: number): void {
    for (const { id, tag } of this.requests.splice(0)) this.complete(id, tag, status);
    for (const number of this.granted.splice(0)) this.complete(number, 0, 5);
  }

  /** The other end writes so, with an immediate; false: nobody is ready to receive. */
  receive(immediate: number): boolean {
    const number = this.granted.shift();
    if (number === undefined) return false;
    this.complete(number, 0, 0, immediate);
    return true;
  }

  #poll(): number {
    this.polls++;
    this.#step();
    this.#polled = this.waiting.splice(0);
    for (const { number } of this.#polled)
      if (number >= IS_RECEIVE) this.receives.completed(number);
      else this.sends.completed(number);
    return this.#polled.length;
  }
}

function readRequest(words: Uint32Array, at: number): Request {
  const wide = (offset: number): number => words[at + offset]! + words[at + offset + 1]! * 2 ** 32;
  const sges = words[at + 5]!;
  if (sges > 0) {
    assert.equal(words[at + 8], RKEY);
    assert.equal(words[at + 13], LKEY);
  }
  return {
    ...{ tag: words[at]!, id: words[at + 1]!, opcode: words[at + 2]!, flags: words[at + 3]! },
    ...{ immediate: words[at + 4]!, remote: wide(6) },
    ...{ address: sges > 0 ? wide(10) : 0, length: sges > 0 ? words[at + 12]! : 0 },
  };
}

export class StreamModel {
  readonly ends: readonly [ModelEnd, ModelEnd];
  readonly controls = [ControlBlock.create(1), ControlBlock.create(1)] as const;
  readonly latency = [0, 1].map(
    () => new Histogram(new SharedArrayBuffer(Histogram.byteLength)),
  ) as [Histogram, Histogram];
  readonly written = new SharedArrayBuffer(8);
  readonly read: ModelQueue;
  readonly write: ModelQueue;
  readonly destination = new Map<number, number>();
  readonly sourceJob: SourceJob;
  readonly destinationJob: DestinationJob;
  /** By the first unit of a command. */
  readonly statusOf = new Map<number, number>();
  /** The wire carries nothing meanwhile. */
  isCut = false;
  rampEnded: () => void = () => undefined;
  source!: SourceEngine;
  sink!: DestinationEngine;
  readonly #random: () => number;

  constructor(shape: StreamShape, random: () => number) {
    this.#random = random;
    const slots = Math.min(shape.sourceSlots, shape.destinationSlots);
    const step = (): void => {
      this.#carry();
    };
    this.ends = [new ModelEnd(shape.sourceSlots, step), new ModelEnd(shape.destinationSlots, step)];
    const [from, to] = this.ends;
    this.read = new ModelQueue(1, random, (command) => {
      assert.equal(command.opcode, READ);
      from.isDirty = true;
      for (let i = 0; i < command.units; i++)
        from.memory.set(command.address + i, command.unit + i);
      return this.statusOf.get(command.unit) ?? 0;
    });
    this.write = new ModelQueue(1, random, (command) => {
      assert.equal(command.opcode, WRITE);
      for (let i = 0; i < command.units; i++)
        this.destination.set(command.unit + i, to.memory.get(command.address + i)!);
      return this.statusOf.get(command.unit) ?? 0;
    });
    const submit = this.write.submit.bind(this.write);
    this.write.submit = (...words) => {
      assert.ok(!to.isDirty, "a barrier before an NVMe device reads");
      submit(...words);
    };
    const jobOf = (end: 0 | 1): Omit<StreamJob, "side"> => ({
      ...engineJob(this.controls[end]),
      slots,
      ...{ blockBytes: shape.blockUnits * UNIT, lastBlockBytes: shape.lastUnits * UNIT },
      ...{ rangeBlocks: shape.blocks, loops: 1, firstBlock: shape.first },
      latency: this.latency[end].buffer as SharedArrayBuffer,
      wire: {} as StreamJob["wire"],
    });
    const stride = shape.blockUnits * UNIT;
    this.sourceJob = {
      ...jobOf(0),
      role: "source",
      side: sideOf(shape, READ, SOURCE_UNIT + shape.first * shape.blockUnits),
      rangeBlocks: shape.blocks - shape.first,
      data: { address: 0, lkey: LKEY, stride },
      headers: { address: HEADERS_AT, lkey: LKEY },
      remoteData: { address: 0, rkey: RKEY, stride },
      remoteHeaders: { address: HEADERS_AT, rkey: RKEY },
    };
    this.destinationJob = {
      ...jobOf(1),
      role: "destination",
      side: sideOf(shape, WRITE, DESTINATION_UNIT),
      ...{ written: this.written, ahead: 1024, exactlyOnce: false },
      rampNs: Infinity,
    };
  }

  /** `onIdle`: when the source lets another thread run; it is to be started by its run() then. */
  open(onIdle?: () => void): this {
    const queue = (model: ModelQueue): QueuePair => model as unknown as QueuePair;
    const [from, to] = this.ends;
    this.source = new SourceEngine(
      this.sourceJob,
      queue(this.read),
      from.wire,
      engineThread(onIdle, () => {
        this.rampEnded();
      }),
    );
    this.sink = new DestinationEngine(
      this.destinationJob,
      queue(this.write),
      to.wire,
      engineThread(),
    );
    if (onIdle === undefined) this.source.start();
    this.sink.start();
    return this;
  }

  /** Both ends take turns until both are done, or one is and the other has waited for long. */
  run() {
    const running = [this.source, this.sink].map((engine) => ({ engine, isOver: false }));
    let rounds = 0;
    for (let idle = 0; idle < 5000 && running.some(({ isOver }) => !isOver); idle++)
      for (const each of running) {
        if (each.isOver) continue;
        if (each.engine.isDone) {
          each.isOver = !each.engine.goOn();
          continue;
        }
        if (each.engine.poll()) idle = 0;
        if (++rounds % 7 === 0) each.engine.look();
      }
    const [from, to] = running.map(({ isOver }) => isOver);
    return {
      ...{ source: this.source.outcome(), destination: this.sink.outcome() },
      isOver: { source: from!, destination: to! },
    };
  }

  get writtenBlocks(): number {
    return new Float64Array(this.written)[0]!;
  }

  assertCopied(units: number, first = 0): void {
    assert.equal(this.destination.size, units - first);
    for (let i = first; i < units; i++)
      assert.equal(this.destination.get(DESTINATION_UNIT + i), SOURCE_UNIT + i);
  }

  /** A few requests, each direction in its order. */
  #carry(): void {
    if (this.isCut) return;
    for (const [index, end] of this.ends.entries())
      while (end.requests.length > 0 && this.#random() < 0.5) {
        if (!this.#perform(end, this.ends[1 - index]!, end.requests[0]!)) break;
        end.requests.shift();
      }
  }

  #perform(from: ModelEnd, to: ModelEnd, request: Request): boolean {
    const { id, tag, opcode, flags, immediate, address, length, remote } = request;
    const hasImmediate = opcode !== Opcode.WRITE;
    assert.equal(
      opcode === Opcode.SEND_WITH_IMMEDIATE,
      from === this.ends[1],
      "none writes a source",
    );
    if (hasImmediate && to.granted.length === 0) return false;
    if (address >= HEADERS_AT) {
      assert.equal(length, HEADER_BYTES);
      const words = from.headers.slice((address - HEADERS_AT) / 4).subarray(0, HEADER_WORDS);
      to.headers.set(words, (remote - HEADERS_AT) / 4);
    } else {
      to.isDirty ||= length > 0;
      for (let unit = 0; unit < length / UNIT; unit++)
        to.memory.set(remote / UNIT + unit, from.memory.get(address / UNIT + unit)!);
    }
    if (hasImmediate) to.receive(immediate);
    if ((flags & SendFlag.SIGNALED) !== 0) from.complete(id, tag);
    return true;
  }
}

function sideOf(shape: StreamShape, opcode: number, lba: number): StreamJob["side"] {
  const { blockUnits, lastUnits, commandUnits } = shape;
  const slots = Math.max(shape.sourceSlots, shape.destinationSlots);
  const of = (units: number) => {
    const words: number[] = [];
    for (let slot = 0; slot < slots; slot++)
      for (let at = 0; at < units; at += commandUnits)
        words.push(slot * blockUnits + at, 11, 12, 13);
    return { blocks: units, pointers: Int32Array.from(words) };
  };
  return {
    queue: {} as StreamJob["side"]["queue"],
    ...{ timeoutNs: 60e9, opcode, nsid: 7, lba, commandBlocks: commandUnits, registrar: null },
    ...{ whole: of(blockUnits), last: of(lastUnits) },
  };
}
