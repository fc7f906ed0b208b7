// Run by perf-gc.test.ts: the loop of an engine, while V8 tells of each garbage collection. Arguments:
// URL of the library; I/Os to do; "large", for blocks whose numbers are no small integers to V8; "copy" and
// "nvme-copy", for the engines of copies; "allocate" or "copy-allocate", for loops that do make garbage. V8
// tells of collections once its compiler has done with the loop, after the first I/Os.
// Prints at its end how many I/Os it did after those, and how much the heap grew over all of them.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";

const IO_BYTES = 512;
/** Of blocks of 512 bytes, far beyond number 2**31. */
const FAR = 3 * 2 ** 40;
const [, , library, wanted, mode = ""] = process.argv;
const load = (path) => import(new URL(path, library).href);
const { addon } = await load("addon.js");
const { Session } = await load("session.js");
const { threadOf } = await load("reactor/run-engine.js");

const isCopy = mode.includes("copy");
const SETTLED = isCopy ? 500_000 : 2_000_000;
const isLarge = mode === "large";
const directory = mkdtempSync(join(tmpdir(), "p2pmem-gc-"));
const machine = join(directory, "large.yaml");
writeFileSync(machine, "root_ports:\n  - { device: nvme, namespaces: [{ file: large.img }] }\n");
const image = join(directory, "large.img");
writeFileSync(image, "");
// It is only read, so that the file stays without contents.
truncateSync(image, 2 * FAR);
const session = await Session.open({ platform: "loopback", ...(isLarge ? { machine } : {}) });
rmSync(directory, { recursive: true });
const [{ address }, other] = session.pci.functions.filter((fn) => fn.isNvme);

async function openPerf() {
  const { checkPerf } = await load("perf/check.js");
  const { PerfSetup } = await load("perf/setup.js");
  const { openEngine } = await load("perf/run-job.js");
  const target = { device: address, nsid: 1, offset: 0 };
  const plan = {
    ...(isLarge
      ? { targets: [{ ...target, offset: FAR, length: 2 ** 26 }], pattern: "randread" }
      : { targets: [target], pattern: "randrw", readPercent: 90 }),
    ...{ ioSize: IO_BYTES, depth: 256, queuePairs: 2, runtime: 3600 },
    ...{ seed: 1, allowWrite: false },
  };
  const setup = new PerfSetup(session, plan, await checkPerf(session, plan));
  const [{ job, control, latency }] = await setup.openThreads(setup.openMemory());
  const [{ read, write }] = latency;
  return { setup, control, job, openEngine, count: () => read.count + write.count };
}

async function openCopy(isInside) {
  const { checkPlan } = await load("copy/check.js");
  const { CopySetup } = await load("copy/setup.js");
  const { openNvmeCopyJobs } = await load("copy/nvme-copy/setup.js");
  const { openEngine } = await load(`copy/${isInside ? "nvme-copy/" : ""}run-job.js`);
  const source = { device: address, nsid: 1, offset: 0, length: 2 ** 24 };
  const plan = {
    source,
    destination: isInside
      ? { ...source, offset: 2 ** 25 }
      : { device: other.address, nsid: 1, offset: 0 },
    ...{ path: isInside ? "nvme-copy" : "host", provider: null, bs: IO_BYTES, iodepth: 256 },
    ...{ runtime: 3600, allowWrite: false },
  };
  const checked = await checkPlan(session, plan);
  const setup = new CopySetup(session, plan, checked);
  const [{ job, control, latency }] = isInside
    ? await openNvmeCopyJobs(setup, plan, checked)
    : await setup.openJobs(setup.openBuffers());
  return { setup, control, job, openEngine, count: () => latency.count };
}

const { setup, control, job, openEngine, count } = await (isCopy
  ? openCopy(mode === "nvme-copy")
  : openPerf());

// The loop leaves this thread no time to watch it.
const watcher = new Worker(new URL("perf-gc-watcher.mjs", import.meta.url), {
  workerData: {
    controlBlock: new URL("reactor/control-block.js", library).href,
    buffer: control.buffer,
    from: SETTLED * IO_BYTES,
    to: (SETTLED + Number(wanted)) * IO_BYTES,
  },
});
await new Promise((resolve) => watcher.once("message", resolve));

let garbage = [];
globalThis.gc(); // what was made before is none of the loop's
const before = getHeapStatistics().used_heap_size;
const began = performance.now();
const opened = [];
const open = (resource) => {
  opened.push(resource);
  return resource;
};
const engine = openEngine(job, open, threadOf());
if (mode.includes("allocate")) {
  const poll = engine.poll.bind(engine);
  engine.poll = () => {
    // Much at once: one poll may find hundreds of I/Os.
    garbage = new Array(4096).fill(poll());
    return garbage[0];
  };
}
/** As run() does, but yields at once: it does not measure, and the device is threads of this machine. */
function drive() {
  engine.start();
  let idle = 0;
  while (!engine.isDone) {
    if (engine.poll()) continue;
    addon().yieldProcessor();
    if (++idle % 64 === 0) engine.look();
  }
  return engine.outcome();
}
const { failure } = drive();
for (const resource of opened) resource.close();
const seconds = (performance.now() - began) / 1000;
globalThis.gc();
const grown = getHeapStatistics().used_heap_size - before;
if (failure !== null) throw new Error(JSON.stringify(failure));
const ios = count() - SETTLED;
await setup.close();
await session.close();
// One at the end by which the test knows this thread's, and that there would be lines.
setFlagsFromString("--trace-gc");
globalThis.gc();
process.on("exit", () => {
  process.stdout.write(`\n${JSON.stringify({ ios, grown, seconds })}\n`);
});
