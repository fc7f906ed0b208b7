// npm run bench:rdma: what the loopback machine's NIC moves between its two ports: small writes a
// second, and the bandwidth of large ones beside that of a memory copy of the same bytes, in turns in
// one run. Posting and polling are this thread's, by one native call a batch, of requests that lie in the
// ring already; in turns with it, what `p2pmem rdma write bw` reaches with the same, which writes each request
// and takes each completion. On a machine that does other things as well the CPU time says more: of the
// device thread, and of the thread that copies.
import { addon } from "../dist/addon.js";
import { builtinMachines } from "../dist/platform/machine-schema.js";
import { defaultsOf } from "../dist/rdma-perf/plan.js";
import { runRdmaPerf } from "../dist/rdma-perf/rdma-perf.js";
import { Session } from "../dist/session.js";

const MEDIAN_OF = 7;
const ENTRIES = 4096; // deep: on two cores it is not the scheduler that is measured
const BATCH = 64;
const SMALL = 64;
const LARGE = 128 << 10;
const SLOTS = 64; // 8 MiB on either side
const SMALL_WRITES = 200_000;
const LARGE_WRITES = 4096;
const [WRITE, SIGNALED, ACCESS] = [0, 2, 7];
const COMPLETION_BYTES = 64;

const machine = addon().createLoopbackMachine(builtinMachines.rdma);
const device = machine.openRdmaDevice("rnic0");
const domain = device.allocateDomain();

function makeBuffer() {
  const memory = addon().allocatePinned(SLOTS * LARGE, false);
  return { memory, region: domain.registerHost(memory, 0, SLOTS * LARGE, ACCESS) };
}
const [source, target] = [makeBuffer(), makeBuffer()];
new Uint8Array(source.memory.buffer).forEach((_, i, bytes) => (bytes[i] = i * 7));

const ends = [1, 2].map((port) => {
  const queue = device.createCompletionQueue(ENTRIES, false);
  const pair = domain.createQueuePair(queue, queue, { sends: ENTRIES, receives: 1 });
  const { index, gid } = device.gids(port)[0];
  const options = { port, gidIndex: index, mtu: 4096, psn: port, remoteAccess: ACCESS & ~1 };
  pair.initialize(options);
  return { queue, pair, options, address: { number: pair.number, psn: port, lid: 0, gid } };
});
ends.forEach(({ pair, options }, end) => pair.connect(options, ends[1 - end].address));
const [{ queue, pair }] = ends;
const completions = queue.records();
const statuses = new DataView(completions.buffer);
// What the native calls are asked, and answer: native/core/rdma_ring.h.
const pollCall = new Uint32Array(completions.buffer, queue.entries * COMPLETION_BYTES, 3);
pollCall.set([ENTRIES, 1]);
const ring = pair.sends();
const postCall = new Uint32Array(ring.buffer, ENTRIES * pair.sendStride, 3);
const view = new DataView(ring.buffer);

/** Fills the whole ring with writes of so many bytes, each BATCH-th of them signaled. */
function prepare(length) {
  for (let i = 0; i < ENTRIES; i++) {
    const at = i * pair.sendStride;
    const offset = BigInt((i % SLOTS) * LARGE);
    view.setBigUint64(at, BigInt(i), true);
    view.setUint32(at + 8, WRITE, true);
    view.setUint32(at + 12, i % BATCH === BATCH - 1 ? SIGNALED : 0, true);
    view.setUint32(at + 20, 1, true);
    view.setBigUint64(at + 24, target.region.address + offset, true);
    view.setUint32(at + 32, target.region.rkey, true);
    view.setBigUint64(at + 40, source.region.address + offset, true);
    view.setUint32(at + 48, length, true);
    view.setUint32(at + 52, source.region.lkey, true);
  }
}

let posted = 0;

/** Seconds, and the device thread's CPU seconds, that so many writes take; a multiple of BATCH. */
function timeWrites(count) {
  const cpu = machine.traffic().deviceCpuNs;
  const start = process.hrtime.bigint();
  let left = count;
  let pending = 0;
  while (left > 0 || pending > 0) {
    while (left > 0 && pending <= ENTRIES - BATCH) {
      postCall.set([posted, BATCH]);
      pair.postSends();
      const taken = postCall[2];
      if (taken !== BATCH) throw new Error(`${taken} of ${BATCH} were posted`);
      posted += BATCH;
      left -= BATCH;
      pending += BATCH;
    }
    queue.poll();
    const found = pollCall[2];
    for (let i = 0; i < found; i++)
      if (statuses.getUint32(i * COMPLETION_BYTES + 8, true) !== 0)
        throw new Error("a write failed");
    pending -= found * BATCH;
    if (found === 0) addon().yieldProcessor();
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return { seconds, cpu: (machine.traffic().deviceCpuNs - cpu) / 1e9 };
}

function timeCopies(count) {
  const cpu = addon().threadCpuTime();
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) {
    const offset = (i % SLOTS) * LARGE;
    addon().copy(target.memory, offset, source.memory, offset, LARGE);
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = addon().threadCpuTime();
  return { seconds, cpu: (user + system - cpu.user - cpu.system) / 1e9 };
}

const session = await Session.open({ platform: "loopback", machine: "rdma" });
const plan = {
  ...{ ...defaultsOf("write", "bw"), sizes: [SMALL], iterations: SMALL_WRITES },
  ...{ txDepth: ENTRIES, cqMod: BATCH },
};

/** Writes a second. */
async function engineRate() {
  const { results } = await runRdmaPerf(session, {
    plan,
    device: session.rdmaDevice(),
    other: { kind: "in-process" },
    memory: { kind: "host" },
  });
  const { messages, runtimeNs } = results[0].measured;
  return messages / (runtimeNs / 1e9);
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

prepare(SMALL);
timeWrites(SMALL_WRITES - (SMALL_WRITES % BATCH));
const count = SMALL_WRITES - (SMALL_WRITES % BATCH);
await engineRate();
const small = [];
for (let round = 0; round < MEDIAN_OF; round++) {
  const { seconds, cpu } = timeWrites(count);
  small.push({ rate: count / seconds, cpu, engine: await engineRate() });
}
await session.close();
prepare(LARGE);
timeWrites(LARGE_WRITES);
timeCopies(LARGE_WRITES);
const bytes = LARGE_WRITES * LARGE;
const rounds = Array.from({ length: MEDIAN_OF }, () => {
  const write = timeWrites(LARGE_WRITES);
  const copy = timeCopies(LARGE_WRITES);
  return { write, copy };
});
if (addon().compare(source.memory, 0, target.memory, 0, SLOTS * LARGE) !== -1)
  throw new Error("what was written is not what was to be");

const ratio = (of) => Number(median(rounds.map(of)).toFixed(3));
const result = {
  writes64PerSecond: Math.round(median(small.map(({ rate }) => rate))),
  engineWrites64PerSecond: Math.round(median(small.map(({ engine }) => engine))),
  engineOfRing: Number(median(small.map(({ rate, engine }) => engine / rate)).toFixed(3)),
  write64DeviceCpuNs: Math.round(median(small.map(({ cpu }) => (cpu * 1e9) / count))),
  write128kBytesPerSecond: Math.round(median(rounds.map(({ write }) => bytes / write.seconds))),
  copy128kBytesPerSecond: Math.round(median(rounds.map(({ copy }) => bytes / copy.seconds))),
  write128kOfCopy: ratio(({ write, copy }) => copy.seconds / write.seconds),
  write128kOfCopyByCpu: ratio(({ write, copy }) => copy.cpu / write.cpu),
};

if (process.argv.includes("--json")) console.log(JSON.stringify(result));
else {
  const gigabytes = (rate) => `${(rate / 1e9).toFixed(2)} GB/s`;
  console.log(`The loopback machine's NIC, port to port, Node ${process.versions.node}`);
  console.log(`64-byte writes    ${(result.writes64PerSecond / 1e6).toFixed(2)} million a second`);
  console.log(`                  ${result.write64DeviceCpuNs} ns of the device thread each`);
  const engine = (result.engineWrites64PerSecond / 1e6).toFixed(2);
  console.log(`  by p2pmem rdma  ${engine} million a second, ${result.engineOfRing} of that`);
  console.log(`128 KiB writes    ${gigabytes(result.write128kBytesPerSecond)}`);
  console.log(`memory copy       ${gigabytes(result.copy128kBytesPerSecond)}`);
  console.log(`writes / copies   ${result.write128kOfCopy}`);
  console.log(`                  ${result.write128kOfCopyByCpu} by CPU time`);
}

for (const end of ends) {
  end.pair.close();
  end.queue.close();
}
for (const memory of [ring, completions]) memory.close();
for (const { region, memory } of [source, target]) {
  region.close();
  memory.close();
}
domain.close();
device.close();
machine.close();
