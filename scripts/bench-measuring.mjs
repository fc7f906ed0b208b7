// npm run bench:measuring: what recording latencies costs: the same run with and without, on the loopback
// machine, as a user sees it: by how much fewer I/Os a second. A busy machine's speed changes from second
// to second, so runs are short, and in turn: with, without, without, with. What counts is the ratio within
// each pair of neighbours, of many pairs its median, and the interval that holds it in 95 of 100 cases.
// Beside it what one recording takes of the processor, held against an I/O of the fastest run. The target
// is under 3 %.
import { addon } from "../dist/addon.js";
import { Histogram } from "../dist/reactor/histogram.js";
import { parseArgs } from "node:util";
import { Session } from "../dist/session.js";
import { runPerf } from "../dist/perf/perf.js";
import { runCopy } from "../dist/copy/copy.js";
import { medianInterval } from "../dist/stats/interval.js";
import { median } from "../dist/stats/median.js";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    pairs: { type: "string", default: "60" },
    seconds: { type: "string", default: "0.15" },
  },
});
const pairs = Number(values.pairs);
const TARGET = 3;
const runtime = Number(values.seconds);

const session = await Session.open({ platform: "loopback" });
const [source, destination] = session.pci.functions
  .filter((fn) => fn.isNvme)
  .map(({ address }) => ({ device: address, nsid: 1, offset: 0, length: 2 ** 26 }));
const shared = { runtime, rampTime: 0.02, allowWrite: false };

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

/** What the interval of the cost says of the target, in percent. */
function verdictOf(interval) {
  if (interval === null || interval.confidence < 0.95) return "too few pairs to tell";
  if (interval.high < TARGET) return `under ${TARGET} %`;
  if (interval.low > TARGET) return `above ${TARGET} %`;
  return `this machine is too noisy to tell whether it is under ${TARGET} %`;
}

async function compare(title, run) {
  // What V8 compiles it does here.
  for (const recordLatency of [true, false, false, true]) await run(recordLatency);
  const on = [];
  const off = [];
  for (let pair = 0; pair < pairs; pair++)
    for (const recordLatency of pair % 2 === 0 ? [true, false] : [false, true])
      (recordLatency ? on : off).push(await run(recordLatency));
  const of = (runs, what) => median(runs.map((each) => each[what]));
  const cost = (what, of) => on.map((each, pair) => of(each[what], off[pair][what]));
  const costs = cost("rate", (one, other) => 100 * (1 - one / other));
  const interval = medianInterval(costs, 0.95);
  return {
    run: title,
    rate_recorded: Math.round(of(on, "rate")),
    rate_not_recorded: Math.round(of(off, "rate")),
    cost_pct: median(costs),
    cost_pct_ci: interval && [interval.low, interval.high],
    confidence: interval && interval.confidence,
    verdict: verdictOf(interval),
    busy_ns_recorded: of(on, "busy"),
    busy_ns_not_recorded: of(off, "busy"),
    cost_busy_ns: median(cost("busy", (one, other) => one - other)),
    record_pct: 100 * record_ns * 1e-9 * Math.max(...off.map(({ rate }) => rate)),
  };
}

const results = [
  await compare("random reads of 4 KiB, depth 32", read),
  await compare("copies of 4 KiB by way of the host, depth 32", copy),
];
await session.close();
if (values.json) console.log(JSON.stringify({ pairs, seconds: runtime, record_ns, results }));
else
  for (const result of results) {
    const [low, high] = (result.cost_pct_ci ?? [NaN, NaN]).map((value) => value.toFixed(1));
    console.log(`${result.run} (${pairs} pairs of runs of ${runtime} s)`);
    console.log(
      `  recorded      ${result.rate_recorded} a second, ${result.busy_ns_recorded.toFixed(0)} ns each`,
    );
    console.log(
      `  not recorded  ${result.rate_not_recorded} a second, ${result.busy_ns_not_recorded.toFixed(0)} ns each`,
    );
    console.log(
      `  it costs      ${result.cost_pct.toFixed(1)} % of the I/Os a second, from ${low} to ${high} %: ${result.verdict}`,
    );
    console.log(
      `  a recording takes ${record_ns.toFixed(1)} ns, ${result.record_pct.toFixed(2)} % of an I/O of the fastest run`,
    );
  }
