/**
 * `p2pmem rdma` by libibverbs on soft-RoCE, our client against our server, beside perftest's own tools in
 * turns: the same options, the same tables. How fast either is depends on the machine, and fails nothing
 * here: `npm run bench:perftest` compares that. Runs inside the lab only.
 */
import assert from "node:assert/strict";
import {
  COLUMN,
  p2pmem,
  perftest,
  readTable,
  runPair,
  type Measurement,
  type Table,
} from "../support/perftest.js";

const DEVICE = ["-d", "rxe0", "-x", "1"];
const MESSAGES = 200;

/** Before perftest 4.5-0.20 it says MB, and means 2^20 bytes then, too. */
function normalized(header: string): string {
  return header.replaceAll("[MB/sec]", "[MiB/sec]");
}

/** The only row of each, below the same header. */
async function rowsOf(measurement: Measurement): Promise<{ ours: number[]; theirs: number[] }> {
  const ours = readTable(await runPair(measurement, p2pmem));
  const theirs = readTable(await runPair(measurement, perftest));
  assert.equal(normalized(ours.header), normalized(theirs.header));
  const only = ({ rows }: Table): number[] => {
    assert.equal(rows.length, 1);
    return rows[0]!;
  };
  return { ours: only(ours), theirs: only(theirs) };
}

describe("p2pmem rdma beside perftest, on soft-RoCE", () => {
  for (const verb of ["write", "read", "send"] as const) {
    it(`${verb} bw prints ib_${verb}_bw's table, whose columns fit each other`, async () => {
      const size = 65_536;
      const options = [...DEVICE, "-s", `${size}`, "-n", `${MESSAGES}`];
      const { ours, theirs } = await rowsOf({ verb, what: "bw", options });
      for (const row of [ours, theirs]) {
        const shown = row.join(" ");
        assert.deepEqual(row.slice(0, 2), [size, MESSAGES], shown);
        const { average, peak, messageRate } = COLUMN.bandwidth;
        assert.ok(row[average]! > 0 && row[peak]! >= row[average]!, shown);
        // The rate of messages is printed by millionths of a million.
        const byRate = (row[messageRate]! * 1e6 * size) / 2 ** 20;
        assert.ok(Math.abs(byRate - row[average]!) <= 0.07 + row[average]! / 100, shown);
      }
    });

    it(`${verb} lat prints ib_${verb}_lat's table, whose figures are in order`, async () => {
      const size = 4096;
      const options = [...DEVICE, "-s", `${size}`, "-n", `${MESSAGES}`];
      const { ours, theirs } = await rowsOf({ verb, what: "lat", options });
      for (const row of [ours, theirs]) {
        const shown = row.join(" ");
        assert.deepEqual(row.slice(0, 2), [size, MESSAGES], shown);
        const { min, typical, average, max, p99, p999 } = COLUMN.latency;
        const figures = [min, typical, p99, p999, max].map((column) => row[column]!);
        assert.deepEqual(
          figures,
          [...figures].sort((a, b) => a - b),
        );
        assert.ok(row[min]! > 0 && row[min]! <= row[average]! && row[average]! <= row[max]!, shown);
      }
    });
  }
});
