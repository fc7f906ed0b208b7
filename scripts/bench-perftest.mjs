// npm run bench:perftest: `p2pmem rdma write` beside perftest's ib_write_bw and ib_write_lat on one
// soft-RoCE device in one virtual server. Software emulation is slow and noisy, by a factor of two from
// one second to the next: only the ratios of one run mean something. So both tools run at once, each of
// them halted while the other has its slice of time. Each ratio is the median over the rounds of one
// round's, with the exact interval of that median. A missed target is shown, and is no failure.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { warmUpOf } from "../dist/rdma-perf/plan.js";
import { medianInterval } from "../dist/stats/interval.js";
import { median } from "../dist/stats/median.js";
import {
  COLUMN,
  p2pmem,
  perftest,
  readTable,
  startPair,
  untilReported,
} from "../dist-test/support/perftest.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = fileURLToPath(import.meta.url);

/** `target`: of the ratio, p2pmem's figure over perftest's. Those of bandwidth are ended when enough was seen. */
const POINTS = [
  { what: "bw", bytes: 4096, iterations: 5_000_000, target: 0.95 },
  { what: "bw", bytes: 65_536, iterations: 5_000_000, target: 0.95 },
  { what: "lat", bytes: 4096, iterations: 20_000, target: 1.1 },
  { what: "lat", bytes: 65_536, iterations: 2000, target: 1.1 },
];
const FIGURE = {
  bw: { unit: "MiB/s", isMet: (ratio, at) => ratio >= at },
  lat: { unit: "us", isMet: (ratio, at) => ratio <= at },
};

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "7" },
  },
});

const measurementOf = ({ what, bytes, iterations }) => ({
  ...{ verb: "write", what },
  options: ["-d", "rxe0", "-x", "1", "-s", `${bytes}`, "-n", `${iterations}`],
});

/** Milliseconds: until a tool is at full speed again, and for how long it is looked at then. */
const SETTLE = 100;
const SLICE = 400;
/** Slices of each, of bandwidth. */
const TURNS = 20;

/** Of the device, of all its connections. */
const counter = (name) =>
  Number(readFileSync(`/sys/class/infiniband/rxe0/ports/1/hw_counters/${name}`, "utf8"));

/** By name: both tools, halted, with p2pmem's warm-up behind it; perftest has none. */
async function startBoth(point) {
  const before = counter("sent_pkts");
  const ours = await startPair(measurementOf(point), p2pmem);
  try {
    // Of bandwidth those of a message, and at most one that acknowledges it; of latency, on each side, one for
    // each message, which is short, and one that acknowledges the other's.
    const packets = point.what === "lat" ? 4 : 1 + Math.ceil(point.bytes / 4096);
    const warm = packets * warmUpOf({ measure: point.what, ...point }, point.bytes);
    while (counter("sent_pkts") - before < warm && !ours.isOver()) await delay(10);
    ours.halt();
    const theirs = await startPair(measurementOf(point), perftest);
    theirs.halt();
    return { p2pmem: ours, perftest: theirs };
  } catch (error) {
    ours.kill();
    throw error;
  }
}

/** Of what the device sends in its slices of time; the tools' own figures would count those of the other, too. */
async function bandwidths(pairs) {
  const rates = Object.fromEntries(Object.keys(pairs).map((name) => [name, []]));
  for (let turn = 0; turn < TURNS; turn++) {
    const names = Object.keys(pairs);
    // Each of them is the first as often.
    if (turn % 2 === 1) names.reverse();
    for (const name of names) {
      pairs[name].resume();
      await delay(SETTLE);
      const [bytes, time] = [counter("sent_bytes"), performance.now()];
      await delay(SLICE);
      const mebibytes = (counter("sent_bytes") - bytes) / 2 ** 20;
      rates[name].push((1000 * mebibytes) / (performance.now() - time));
      pairs[name].halt();
    }
  }
  // What has ended has sent nothing since.
  for (const [name, pair] of Object.entries(pairs))
    if (pair.isOver()) throw new Error(`${name} ended early: ${await pair.printed}`);
  return { p2pmem: median(rates.p2pmem), perftest: median(rates.perftest) };
}

/** As the tools print it, of all slices. */
async function latencies(pairs) {
  const tools = Object.values(pairs);
  for (let turn = 0; !tools.some((pair) => pair.isOver()); turn++) {
    tools[turn % 2].resume();
    await delay(SLICE);
    tools[turn % 2].halt();
  }
  for (const pair of tools) pair.resume();
  const texts = await Promise.all(tools.map((pair) => pair.printed));
  const typical = (text) => readTable(text).rows[0][COLUMN.latency.typical];
  return Object.fromEntries(Object.keys(pairs).map((name, index) => [name, typical(texts[index])]));
}

async function figuresOf(point) {
  const pairs = await startBoth(point);
  try {
    return await (point.what === "lat" ? latencies(pairs) : bandwidths(pairs));
  } finally {
    for (const pair of Object.values(pairs)) pair.kill();
  }
}

/** Inside the lab. */
async function measure() {
  const soft = spawnSync("sh", [`${root}/scripts/lab/soft-roce`], { stdio: "inherit" });
  if (soft.status !== 0) throw new Error("no soft-RoCE device");
  const samples = POINTS.map(() => ({ p2pmem: [], perftest: [] }));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [index, point] of POINTS.entries()) {
      const figures = await untilReported(() => figuresOf(point));
      for (const [name, figure] of Object.entries(figures)) samples[index][name].push(figure);
      const ratio = figures.p2pmem / figures.perftest;
      console.error(`round ${round + 1}: ${point.what} ${point.bytes} ${ratio.toFixed(3)}`);
    }
  return POINTS.map(({ what, bytes, target }, index) => {
    const { unit, isMet } = FIGURE[what];
    const of = samples[index];
    const ratios = of.p2pmem.map((figure, round) => figure / of.perftest[round]);
    const ratio = median(ratios);
    return {
      ...{ what, bytes, unit },
      p2pmem: { median: median(of.p2pmem), samples: of.p2pmem },
      perftest: { median: median(of.perftest), samples: of.perftest },
      ...{ ratio, interval: medianInterval(ratios), target, isMet: isMet(ratio, target) },
    };
  });
}

function print(results) {
  console.log("RDMA writes on soft-RoCE: p2pmem rdma beside perftest, medians");
  console.log("             p2pmem  perftest         ratio [interval]          target");
  for (const { what, bytes, unit, ratio, interval, target, isMet, ...of } of results) {
    const figure = (name) => of[name].median.toFixed(1).padStart(10);
    const bounds = interval
      ? `[${interval.low.toFixed(3)}, ${interval.high.toFixed(3)}]`
      : "[none]";
    console.log(
      `${what.padEnd(3)} ${String(bytes).padStart(6)}${figure("p2pmem")}${figure("perftest")} ` +
        `${unit.padEnd(5)}  ${ratio.toFixed(3)} ${bounds.padEnd(16)} ` +
        `${what === "bw" ? ">=" : "<="} ${target} ${isMet ? "met" : "missed"}`,
    );
  }
}

if (process.env.P2PMEM_LAB !== "1") {
  // A round takes four minutes, on a busy machine more.
  const lab = [`${root}/scripts/lab.mjs`, "--timeout", "3600"];
  const inLab = [...lab, process.execPath, script, ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, inLab, { stdio: "inherit" }).status ?? 1;
} else {
  const results = await measure();
  if (values.json) console.log(JSON.stringify(results));
  else print(results);
}
