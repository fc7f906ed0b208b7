// Run by stream-gc.test.ts: both engines of a stream in one thread, over real rings, with devices and a wire
// that make no garbage themselves, while V8 tells of each collection. Arguments: URL of the library; blocks;
// "allocate", for a device that does make some.
// Prints at its end how many blocks went, and how much the heap grew.
import { getHeapStatistics, setFlagsFromString } from "node:v8";

const [, , library, wanted, mode] = process.argv;
const load = (path) => import(new URL(path, library).href);
const { ReceiveRing, SendRing } = await load("rdma/request-ring.js");
const layout = await load("rdma/ring-layout.js");
const { SendFlag } = await load("rdma/spec.js");
const { ControlBlock } = await load("reactor/control-block.js");
const { Histogram } = await load("reactor/histogram.js");
const { threadOf } = await load("reactor/run-engine.js");
const { StartGate } = await load("reactor/start-gate.js");
const { DestinationEngine } = await load("stream/destination-engine.js");
const { SourceEngine } = await load("stream/source-engine.js");
const { HEADER_WORDS } = await load("stream/header.js");
const { requestsOf } = await load("stream/requests.js");
const { fakePost } = await import("../../dist-test/support/fake-post.js");

const SLOTS = 32;
const BLOCK = 4096;
/** Numbers and addresses that are no small integers to V8. */
const FIRST = 2 ** 33;
const ADDRESS = 2 ** 46;
const SETTLED = 200_000;

let garbage;

/** Completes what it is given at once, in its order. */
class Queue {
  status = 0;
  fault = null;
  #cookies = new Int32Array(SLOTS);
  #head = 0;
  #tail = 0;

  submit(opcode, nsid, lba, blocks, first, second, third, fourth, cookie) {
    if (mode === "allocate") garbage = { lba };
    this.#cookies[this.#tail++ % SLOTS] = cookie;
    if (this.#tail === 2 ** 30) this.#tail = this.#head = 0;
  }
  next() {
    return this.#head === this.#tail ? -1 : this.#cookies[this.#head++ % SLOTS];
  }
  acknowledge() {}
  ring() {}
  commandIdOf() {
    return -1;
  }
}

const { sends, receives } = requestsOf(SLOTS);
const STRIDE = 256;
const ROOM = 4 * (sends + receives);

/** A queue pair and its completions; what is sent arrives at `other` at once. */
class End {
  other = null;
  headers = new Uint32Array(SLOTS * HEADER_WORDS);
  barrier = null;
  completions = this;
  queuePair = this;
  // Behind the records of a ring: PostCall.
  #words = new Uint32Array(((sends + 1) * STRIDE) / 4);
  /** Four words each: tag, number, immediate, whether it is a receive. */
  #waiting = new Uint32Array(4 * ROOM);
  #polled = new Uint32Array(4 * ROOM);
  #count = 0;
  #received = 0;

  constructor() {
    const shape = { entries: sends, stride: STRIDE, maxSge: 1 };
    const memory = { buffer: this.#words.buffer };
    const send = (first, count) => this.#send(first, count);
    this.sends = new SendRing(memory, shape, 0, fakePost(memory, sends * STRIDE, send));
    const granted = { buffer: new ArrayBuffer((receives + 1) * STRIDE) };
    this.receives = new ReceiveRing(
      granted,
      { entries: receives, stride: STRIDE, maxSge: 1 },
      fakePost(granted, receives * STRIDE, (first, count) => count),
    );
  }
  #send(first, count) {
    for (let number = first; number < first + count; number++) {
      const at = ((number & (sends - 1)) * STRIDE) / 4;
      const words = this.#words;
      const opcode = words[at + layout.SEND_OPCODE];
      const immediate = words[at + layout.SEND_IMMEDIATE];
      if (opcode === 1)
        for (let word = 0; word < HEADER_WORDS; word++)
          this.other.headers[immediate * HEADER_WORDS + word] =
            this.headers[immediate * HEADER_WORDS + word];
      if (opcode !== 0) this.other.arrive(immediate);
      if ((words[at + layout.SEND_FLAGS] & SendFlag.SIGNALED) !== 0)
        this.#complete(words[at], number, 0, 0);
    }
    return count;
  }
  arrive(immediate) {
    this.#complete(0, this.#received++, immediate, 1);
    if (this.#received === 2 ** 30) this.#received = 0;
  }
  #complete(tag, number, immediate, isReceive) {
    const at = 4 * this.#count++;
    this.#waiting[at] = tag;
    this.#waiting[at + 1] = number;
    this.#waiting[at + 2] = immediate;
    this.#waiting[at + 3] = isReceive;
  }
  flush() {
    this.receives.flush();
    this.sends.flush();
  }
  poll() {
    const count = this.#count;
    const polled = this.#waiting;
    this.#waiting = this.#polled;
    this.#polled = polled;
    this.#count = 0;
    for (let index = 0; index < count; index++)
      if (polled[4 * index + 3] === 0) this.sends.completed(polled[4 * index + 1]);
      else this.receives.completed(polled[4 * index + 1]);
    return count;
  }
  tag(index) {
    return this.#polled[4 * index];
  }
  status() {
    return 0;
  }
  isReceive(index) {
    return this.#polled[4 * index + 3] !== 0;
  }
  immediate(index) {
    return this.#polled[4 * index + 2];
  }
}

const blocks = SETTLED + Number(wanted);
const ends = [new End(), new End()];
[ends[0].other, ends[1].other] = [ends[1], ends[0]];
const shape = { blocks: 8, pointers: new Int32Array(4 * SLOTS) };
const jobOf = (control) => ({
  ...{ rampNs: 0, runtimeNs: null, endsWithWork: true, spacingNs: 0, recordsLatency: true },
  ...{ cpu: null, control, gate: StartGate.create(1).buffer, epoch: 0, slots: SLOTS, loops: 1 },
  ...{ blockBytes: BLOCK, lastBlockBytes: BLOCK, rangeBlocks: blocks, firstBlock: FIRST },
  latency: new SharedArrayBuffer(Histogram.byteLength),
  side: {
    ...{ queue: {}, timeoutNs: 60e9, opcode: 2, nsid: 1, lba: FIRST, commandBlocks: 8 },
    ...{ whole: shape, last: shape, registrar: null },
  },
});
const memory = { address: ADDRESS, lkey: 0x9000_0000, rkey: 0xa000_0000, stride: BLOCK };
const control = ControlBlock.create(1);
const source = new SourceEngine(
  {
    ...{ ...jobOf(control.buffer), role: "source", data: memory, headers: memory },
    ...{ remoteData: memory, remoteHeaders: memory },
  },
  new Queue(),
  ends[0],
  threadOf(() => undefined),
);
const sink = new DestinationEngine(
  {
    ...{ ...jobOf(ControlBlock.create(1).buffer), role: "destination", rampNs: Infinity },
    ...{ rangeBlocks: FIRST + blocks, written: new SharedArrayBuffer(8) },
    ...{ ahead: 2 ** 18, exactlyOnce: true },
  },
  new Queue(),
  ends[1],
  threadOf(() => undefined),
);

source.start();
sink.start();
globalThis.gc();
const before = getHeapStatistics().used_heap_size;
let isTracing = false;
let isOver = false;
let polls = 0;
while (!isOver) {
  const sent = source.poll();
  if (!sink.poll() && !sent) {
    source.look();
    sink.look();
  }
  if (sink.isDone && !sink.goOn() && source.isDone) isOver = !source.goOn();
  // Once V8's compiler has done with both, which it does beside them.
  if ((++polls & 1023) !== 0 || isTracing || control.bytes < SETTLED * BLOCK) continue;
  setFlagsFromString("--trace-gc");
  isTracing = true;
}
setFlagsFromString("--no-trace-gc");
const [from, to] = [source.outcome(), sink.outcome()];
for (const { failure } of [from, to])
  if (failure !== null) throw new Error(JSON.stringify(failure));
globalThis.gc();
const grown = getHeapStatistics().used_heap_size - before;
if ((garbage !== undefined) !== (mode === "allocate")) throw new Error("what made garbage?");
process.stdout.write(`\n${JSON.stringify({ blocks: to.blocks - SETTLED, grown })}\n`);
