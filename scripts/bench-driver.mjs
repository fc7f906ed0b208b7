// npm run bench:driver: what the driver itself costs for each I/O: submit(), its share of ring(),
// next() and acknowledge(), on the real QueuePair and pinned memory, without a device. The
// completions wait in the queue already, written there between the timed stretches. A stretch is one
// lap around the queue, so one clock reading is shared by thousands of I/Os.
import { addon } from "../dist/addon.js";
import { QueuePair } from "../dist/nvme/queues/queue-pair.js";

const DEPTH = 4096;
const QID = 1;
const SQ_BYTES = DEPTH * 64;
const CQ_BYTES = DEPTH * 16;
const BATCHES = [1, 32, 256];
const MEDIAN_OF = 7;
const LAPS = 200;
const WARM_UP_LAPS = 100;
const READ = 0x02;
const PAGE = 4096;

const queues = addon().allocatePinned(SQ_BYTES + CQ_BYTES, false);
const doorbells = addon().allocatePinned(PAGE, false);
const completions = new Int32Array(queues.buffer, SQ_BYTES, DEPTH * 4);
const queuePair = new QueuePair(
  {
    device: "0000:00:00.0",
    qid: QID,
    depth: DEPTH,
    sqOffset: 0,
    cqOffset: SQ_BYTES,
    sqDoorbellOffset: 0,
    cqDoorbellOffset: 4,
    shadow: null,
  },
  { submission: queues, completion: queues, doorbells, shadow: null },
);

let lap = 0;
let checksum = 0;

/** Completions for one lap: in order, so that command ids repeat from lap to lap. */
function fillCompletions() {
  const phase = lap++ % 2 === 0 ? 1 : 0;
  for (let id = 0; id < DEPTH; id++) {
    completions[4 * id + 2] = (QID << 16) | id;
    completions[4 * id + 3] = (phase << 16) | id;
  }
}

/** One lap; the sum of what came back keeps the work from being optimised away. */
function timedLap(queue, batch, lba) {
  let sum = 0;
  for (let round = DEPTH / batch; round > 0; round--) {
    for (let i = 0; i < batch; i++) queue.submit(READ, 1, lba + 8 * i, 8, i * PAGE, 1, 0, 0, i);
    queue.ring();
    for (let left = batch; left > 0; left--) sum += queue.next() + queue.status;
    queue.acknowledge();
  }
  return sum;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** Nanoseconds for each I/O: of the median lap, as some laps are cut in two by other programs. */
function measure(batch, laps) {
  const elapsed = [];
  for (let n = 0; n < laps; n++) {
    fillCompletions();
    const start = process.hrtime();
    checksum += timedLap(queuePair, batch, 1000 + n);
    const [seconds, nanoseconds] = process.hrtime(start);
    elapsed.push(seconds * 1e9 + nanoseconds);
    if (queuePair.fault) throw queuePair.fault;
  }
  return median(elapsed) / DEPTH;
}

for (let n = 0; n < WARM_UP_LAPS; n++) for (const batch of BATCHES) measure(batch, 1);
checksum = 0;

const rounds = BATCHES.map(() => []);
for (let n = 0; n < MEDIAN_OF; n++)
  BATCHES.forEach((batch, i) => rounds[i].push(measure(batch, LAPS)));

// Every command came back once, in order: the sum of the cookies of each batch is known.
const expected = BATCHES.reduce(
  (sum, batch) => sum + (MEDIAN_OF * LAPS * DEPTH * (batch - 1)) / 2,
  0,
);
if (checksum !== expected) throw new Error(`completions add up to ${checksum}, not ${expected}`);

const results = BATCHES.map((batch, i) => [`batch${batch}`, Number(median(rounds[i]).toFixed(1))]);

if (process.argv.includes("--json")) console.log(JSON.stringify(Object.fromEntries(results)));
else {
  console.log(`NVMe driver alone, Node ${process.versions.node}, completions already waiting`);
  console.log("commands a doorbell   ns an I/O");
  for (const [name, ns] of results)
    console.log(`${name.slice("batch".length).padStart(19)}${ns.toFixed(1).padStart(12)}`);
}
queuePair.close();
