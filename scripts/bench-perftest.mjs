// npm run bench:perftest: `p2pmem rdma write` beside perftest's ib_write_bw and ib_write_lat on one
// soft-RoCE device in one virtual server. Software emulation is slow and noisy, by a factor of two from
// one second to the next: only the ratios of one run mean something. Of latency both tools run at once,
// each of them halted while the other has its slice of time; of bandwidth, which is counted by the clock,
// perftest runs before and after, and the ratio is to the mean of the two. Each ratio is the median over
// the rounds of one round's, with the exact interval of that median. A missed target is shown, and is no
// failure.
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
  runPair,
  startPair,
} from "../dist-test/support/perftest.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = fileURLToPath(import.meta.url);

/**
 * `target`: of the ratio, p2pmem's figure over perftest's. So many iterations that what V8 still compiles
 * after p2pmem's own warm-up, for seconds under software emulation, is of no account.
 */
const POINTS = [
  { what: "bw", bytes: 4096, iterations: 50_000, target: 0.95 },
  { what: "bw", bytes: 65_536, iterations: 5000, target: 0.95 },
  { what: "lat", bytes: 4096, iterations: 20_000, target: 1.1 },
  { what: "lat", bytes: 65_536, iterations: 2000, target: 1.1 },
];
const FIGURE = {
  bw: { column: COLUMN.bandwidth.average, unit: "MiB/s", isMet: (ratio, at) => ratio >= at },
  lat: { column: COLUMN.latency.typical, unit: "us", isMet: (ratio, at) => ratio <= at },
};

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "7" },
  },
});

/** MB/s is 2**20 bytes a second in perftest: a table that meant another unit would not show in a ratio. */
function checkUnit(row) {
  const { average, messageRate } = COLUMN.bandwidth;
  const byRate = (row[messageRate] * 1e6 * row[COLUMN.bytes]) / 2 ** 20;
  if (Math.abs(byRate / row[average] - 1) > 0.02)
    throw new Error(
      `${row[average]} MB/s do not fit ${row[messageRate]} million messages a second`,
    );
}

const measurementOf = ({ what, bytes, iterations }) => ({
  ...{ verb: "write", what },
  options: ["-d", "rxe0", "-x", "1", "-s", `${bytes}`, "-n", `${iterations}`],
});

function figureOf({ what }, printed) {
  const [row] = readTable(printed).rows;
  if (what === "bw") checkUnit(row);
  return row[FIGURE[what].column];
}

async function beforeAndAfter(point) {
  const figures = [];
  for (const tool of [perftest, p2pmem, perftest])
    figures.push(figureOf(point, await runPair(measurementOf(point), tool)));
  return { p2pmem: figures[1], perftest: (figures[0] + figures[2]) / 2 };
}

/** Milliseconds. */
const SLICE = 250;

/** By the device, of all its connections. */
const sentPackets = () =>
  Number(readFileSync("/sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts", "utf8"));

async function inSlices(point) {
  // Of each side one for each message, and one that acknowledges the other's.
  const warm = sentPackets() + 4 * warmUpOf({ measure: point.what, ...point }, point.bytes);
  const pairs = [await startPair(measurementOf(point), p2pmem)];
  try {
    const isOver = pairs.map(() => false);
    const watch = (index) => pairs[index].printed.finally(() => (isOver[index] = true));
    const printed = [watch(0)];
    // perftest has no warm-up: it begins when that is over.
    while (sentPackets() < warm && !isOver[0]) await delay(10);
    pairs[0].halt();
    pairs.push(await startPair(measurementOf(point), perftest));
    printed.push(watch(1));
    for (let turn = 0; !isOver[0] && !isOver[1]; turn++) {
      pairs[(turn + 1) % 2].halt();
      pairs[turn % 2].resume();
      await delay(SLICE);
    }
    for (const pair of pairs) pair.resume();
    const figures = (await Promise.all(printed)).map((text) => figureOf(point, text));
    return { p2pmem: figures[0], perftest: figures[1] };
  } finally {
    for (const pair of pairs) pair.kill();
  }
}

/** Inside the lab. */
async function measure() {
  const soft = spawnSync("sh", [`${root}/scripts/lab/soft-roce`], { stdio: "inherit" });
  if (soft.status !== 0) throw new Error("no soft-RoCE device");
  const samples = POINTS.map(() => ({ p2pmem: [], perftest: [] }));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [index, point] of POINTS.entries()) {
      const figures = await (point.what === "lat" ? inSlices(point) : beforeAndAfter(point));
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
