// npm run bench:measuring: what recording latencies costs: the same run with and without, in turn, on the
// loopback machine, so that what else the machine does hurts both alike, if not much else runs. Beside it
// the same by another way, which a busy machine hurts less: what one recording takes of the processor, held
// against what one I/O takes of the fastest run. The target is under 3 %.
import { addon } from "../dist/addon.js";
import { Histogram } from "../dist/reactor/histogram.js";
import { parseArgs } from "node:util";
import { Session } from "../dist/session.js";
import { runPerf } from "../dist/perf/perf.js";
import { runCopy } from "../dist/copy/copy.js";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "9" },
    seconds: { type: "string", default: "0.5" },
  },
});
const rounds = Number(values.rounds);
const runtime = Number(values.seconds);

const session = await Session.open({ platform: "loopback" });
const [source, destination] = session.pci.functions
  .filter((fn) => fn.isNvme)
  .map(({ address }) => ({ device: address, nsid: 1, offset: 0, length: 2 ** 26 }));
const shared = { runtime, rampTime: 0.1, allowWrite: false };

async function read(recordLatency) {
  const { total, cpu } = await runPerf(session, {
    ...{ ...shared, recordLatency, targets: [source], pattern: "randread", seed: 1 },
    ...{ ioSize: 4096, depth: 32, queuePairs: 1 },
  });
  return { rate: (total.readIos / total.runtimeNs) * 1e9, busy: cpu.busyNs / total.readIos };
}

async function copy(recordLatency) {
  const { blocks, runtimeNs, cpu } = await runCopy(session, {
    ...{ ...shared, recordLatency, source, destination, path: "host", provider: null },
    ...{ bs: 4096, iodepth: 32 },
  });
  return { rate: (blocks / runtimeNs) * 1e9, busy: cpu.busyNs / blocks };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** Nanoseconds of this thread's processor for one recording: the least of some rounds. */
function recordNs() {
  const count = 5_000_000;
  const values = Float64Array.from({ length: 4096 }, () => Math.floor(1000 + 1e6 * Math.random()));
  const histogram = new Histogram();
  let least = Infinity;
  for (let round = 0; round < 7; round++) {
    const before = addon().threadCpuTime().user;
    for (let i = 0; i < count; i++) histogram.record(values[i & 4095]);
    least = Math.min(least, (addon().threadCpuTime().user - before) / count);
  }
  return least;
}

const record_ns = recordNs();

/** Ratios of neighbours: with first, then without first, so that drift hurts neither. */
async function compare(title, run) {
  await run(true); // what V8 compiles it does here
  await run(false);
  const pairs = [];
  for (let round = 0; round < rounds; round++) {
    const isFirst = round % 2 === 0;
    const one = await run(isFirst);
    const two = await run(!isFirst);
    pairs.push(isFirst ? { on: one, off: two } : { on: two, off: one });
  }
  const of = (which, what) => median(pairs.map((pair) => pair[which][what]));
  return {
    run: title,
    rate_recorded: Math.round(of("on", "rate")),
    rate_not_recorded: Math.round(of("off", "rate")),
    cost_pct: 100 * (1 - of("on", "rate") / of("off", "rate")),
    cost_pct_of_pairs: 100 * (1 - median(pairs.map(({ on, off }) => on.rate / off.rate))),
    record_pct: 100 * record_ns * 1e-9 * Math.max(...pairs.map(({ off }) => off.rate)),
    busy_ns_recorded: of("on", "busy"),
    busy_ns_not_recorded: of("off", "busy"),
  };
}

const results = [
  await compare("random reads of 4 KiB, depth 32", read),
  await compare("copies of 4 KiB by way of the host, depth 32", copy),
];
await session.close();
if (values.json) console.log(JSON.stringify({ rounds, seconds: runtime, record_ns, results }));
else
  for (const result of results) {
    console.log(`${result.run} (medians of ${rounds} rounds of ${runtime} s)`);
    console.log(
      `  recorded      ${result.rate_recorded} a second, ${result.busy_ns_recorded.toFixed(0)} ns each`,
    );
    console.log(
      `  not recorded  ${result.rate_not_recorded} a second, ${result.busy_ns_not_recorded.toFixed(0)} ns each`,
    );
    console.log(
      `  it costs      ${result.cost_pct.toFixed(1)} % of the medians, ${result.cost_pct_of_pairs.toFixed(1)} % from neighbour to neighbour`,
    );
    console.log(
      `  a recording takes ${record_ns.toFixed(1)} ns, ${result.record_pct.toFixed(2)} % of an I/O of the fastest run`,
    );
  }
