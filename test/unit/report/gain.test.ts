import assert from "node:assert/strict";
import type { BenchResult } from "#lib/bench/report.js";
import { gainsOf, headlineOf, hostBytesPerByte } from "#lib/report/gain.js";
import { benchResult } from "../../support/bench-report.js";

function measured(
  path: BenchResult["path"],
  bandwidth: number,
  interval: [number, number] | null,
  changes: Partial<BenchResult> = {},
): BenchResult {
  const base = benchResult({ path, bw_bytes: bandwidth, ...changes });
  return { ...base, samples: { ...base.samples, bw_bytes_ci: interval } };
}

describe("what peer memory gains", () => {
  it("is measured against the same through host memory", () => {
    const gains = gainsOf([
      measured("p2p", 6e9, [5.75e9, 6.25e9]),
      measured("host", 5e9, [4e9, 5e9]),
      measured("p2p", 1e9, [0.9e9, 1.1e9], { bs: 4096 }),
      measured("kernel-p2p", 3e9, [2.9e9, 3.1e9]),
      measured("kernel-host", 4e9, [3.9e9, 4.1e9]),
      measured("cpu", 2e9, [1.9e9, 2.1e9]),
      measured("rdma-host", 2e9, [1.9e9, 2.1e9]),
      measured("rdma-p2p", 4e9, [3.9e9, 4.1e9]),
    ]);
    assert.deepEqual(
      gains.map(({ peer, host, ratio, outcome }) => [peer.path, host.path, ratio, outcome]),
      [
        ["p2p", "host", 1.2, "faster"],
        ["kernel-p2p", "kernel-host", 0.75, "slower"],
        ["rdma-p2p", "rdma-host", 2, "faster"],
      ],
    );
    assert.deepEqual(gains[0]?.interval, [1.15, 1.5625]);
    assert.equal(headlineOf(gains), gains[0]);
  });

  it("is within the noise where the intervals allow both, and unknown where there is none", () => {
    const outcome = (interval: [number, number] | null): string | undefined =>
      gainsOf([measured("p2p", 5e9, interval), measured("host", 5e9, [4.9e9, 5.1e9])])[0]?.outcome;
    assert.equal(outcome([4.95e9, 5.3e9]), "same");
    assert.equal(outcome([5.2e9, 5.3e9]), "faster");
    assert.equal(outcome([4e9, 4.8e9]), "slower");
    assert.equal(outcome(null), "unknown");
  });

  it("is nothing where nothing can be compared", () => {
    assert.deepEqual(gainsOf([measured("p2p", 5e9, null)]), []);
    assert.equal(headlineOf([]), null);
  });

  it("does not know the driver's time where one of both is not known", () => {
    const cpu = { usr_pct: 1, sys_pct: 1, device_ns_per_block: null };
    const [gain] = gainsOf([
      measured("p2p", 5e9, null, { cpu: { ...cpu, busy_ns_per_block: 150 } }),
      measured("host", 5e9, null, { cpu: { ...cpu, busy_ns_per_block: null } }),
    ]);
    assert.equal(gain?.cpu, null);
  });

  it("counts host memory for each byte moved, and keeps unknown apart from none", () => {
    const result = benchResult({ path: "host" });
    assert.equal(hostBytesPerByte(result), 2);
    const traffic = { ...result.traffic, host_memory_bytes: null };
    assert.equal(hostBytesPerByte({ ...result, traffic }), null);
    assert.equal(hostBytesPerByte(benchResult()), 0);
  });
});
