// Run by generated-code.test.ts with --allow-natives-syntax --print-opt-code: warms up the functions
// it looks at, has them optimised, and calls them once more. Arguments: URL of queue-pair.js;
// "detach", for the code that V8 makes in a thread where any ArrayBuffer was ever detached; and
// "shadow", for queues with shadow doorbells.
const { QueuePair } = await import(process.argv[2]);

if (process.argv[3] === "detach") {
  const buffer = new ArrayBuffer(8);
  globalThis.structuredClone(buffer, { transfer: [buffer] });
}

const DEPTH = 64;
const CQ_OFFSET = DEPTH * 64;
const READ = 2;
const queues = { buffer: new ArrayBuffer(CQ_OFFSET + DEPTH * 16), close() {} };
const doorbells = { buffer: new ArrayBuffer(4096), close() {} };
const isShadowed = process.argv[4] === "shadow";
const shadow = { sqOffset: 0, cqOffset: 4, sqEventOffset: 8, cqEventOffset: 12 };
const handle = {
  device: "0000:00:00.0",
  qid: 1,
  depth: DEPTH,
  sqOffset: 0,
  cqOffset: CQ_OFFSET,
  sqDoorbellOffset: 8,
  cqDoorbellOffset: 12,
  shadow: isShadowed ? shadow : null,
};
const queue = new QueuePair(handle, {
  submission: queues,
  completion: queues,
  doorbells,
  shadow: isShadowed ? { buffer: new ArrayBuffer(16), close() {} } : null,
});
const completions = new Int32Array(queues.buffer, CQ_OFFSET, DEPTH * 4);

let completed = 0;
function complete() {
  const at = (completed % DEPTH) * 4;
  const phase = Math.floor(completed / DEPTH) % 2 === 0 ? 1 : 0;
  completions[at + 2] = 1 << 16;
  completions[at + 3] = (phase << 16) | (completed % DEPTH);
  completed++;
}

// The literals come out as immediate operands, by which the test knows each store.
function submitOne(queue) {
  queue.submit(READ, 0x1111, 0x2222_0000_3333, 0x4445, 0x5555, 0x6666, 0x7777, 0x8888, 7);
  queue.ring();
}

function submitAny(queue, lba, prp, cookie) {
  queue.submit(READ, 1, lba, 8, prp, 1, 0, 0, cookie);
}

function pollFor(queue, limit) {
  for (let n = 0; n < limit; n++) {
    const cookie = queue.next();
    if (cookie >= 0) return cookie;
  }
  return -1;
}

function round() {
  submitOne(queue);
  submitAny(queue, completed, completed * 4096, 7);
  if (pollFor(queue, 3) !== -1) throw new Error("completed too early");
  complete();
  complete();
  if (pollFor(queue, 3) !== 7 || pollFor(queue, 3) !== 7) throw new Error("not completed");
  queue.acknowledge();
}

const prepare = new Function("f", "%PrepareFunctionForOptimization(f)");
const optimize = new Function("f", "%OptimizeFunctionOnNextCall(f)");
const { submit, ring, next, acknowledge } = QueuePair.prototype;
const functions = [submitOne, pollFor, submit, ring, next, acknowledge];
for (const f of functions) prepare(f);
for (let n = 0; n < 3 * DEPTH; n++) round();
for (const f of functions) optimize(f);
round();
// By themselves too: where they are not inlined, this is the code that runs.
queue.submit(READ, 1, 2 ** 40, 8, 0, 1, 0, 0, 7);
queue.ring();
complete();
if (queue.next() !== 7 || queue.fault) throw new Error("not completed");
queue.acknowledge();
