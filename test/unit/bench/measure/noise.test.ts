import assert from "node:assert/strict";
import { HostNoise } from "#lib/bench/measure/noise.js";
import { machineWarnings } from "#lib/bench/measure/warnings.js";
import { Host } from "#lib/host/host.js";
import { benchPoint } from "../../../support/bench-point.js";
import { FakeNoise, fakeRun } from "./fake-run.js";

const GB = 1e9;

/** The warnings of one result with these bandwidths on this machine. */
async function warningsOf(bandwidths: number[], machine = new FakeNoise()): Promise<string[]> {
  const { results } = await fakeRun([benchPoint({ samples: bandwidths.length })], {
    machine,
    sample: (_point, turn) => ({ bytes: bandwidths[turn]! }),
  });
  return results[0]!.warnings;
}

const steady = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0].map((value) => value * GB);

describe("warnings of a noisy machine", () => {
  it("are none where nothing disturbed", async () => {
    assert.deepEqual(await warningsOf(steady), []);
    assert.deepEqual(machineWarnings(new FakeNoise()), []);
  });

  it("tell of steal, with its share of the CPU time", async () => {
    const machine = new FakeNoise();
    machine.steal = 0.06 * GB;
    assert.deepEqual(await warningsOf(steady, machine), [
      "the hypervisor kept 3.0 % of the CPU time for others (steal)",
    ]);
    machine.steal = 0.01 * GB;
    assert.deepEqual(await warningsOf(steady, machine), []);
  });

  it("tell of others' load, but never of p2pmem's own", async () => {
    const machine = new FakeNoise();
    machine.others = 0.74 * GB;
    assert.deepEqual(await warningsOf(steady, machine), [
      "other processes used 37 % of the CPU time",
    ]);
    machine.others = 0.08 * GB;
    assert.deepEqual(await warningsOf(steady, machine), []);
  });

  it("claim nothing where the kernel tells nothing", async () => {
    const machine = new FakeNoise();
    machine.isKnown = false;
    machine.others = GB;
    assert.deepEqual(await warningsOf(steady, machine), []);
    Object.assign(machine, { load: null, governor: [] });
    assert.deepEqual(machineWarnings(machine), []);
  });

  it("tell of load before the run, and of clocks that change", () => {
    const machine = new FakeNoise();
    machine.load = 3.5;
    machine.governor = ["performance", "powersave"];
    assert.deepEqual(machineWarnings(machine), [
      "the load average was 3.50 on 2 CPUs when the run began: others were at work",
      "the CPU frequency governor is powersave: clocks may change between samples",
    ]);
  });

  it("tell of a drift that chance does not explain, in either direction", async () => {
    const falling = [1, 0.99, 0.97, 0.96, 0.94, 0.93, 0.91].map((value) => value * GB);
    assert.deepEqual(await warningsOf(falling), [
      "bandwidth fell by 9.4 % from the first sample to the last",
    ]);
    const [warning] = await warningsOf([...falling].reverse());
    assert.match(warning!, /^bandwidth rose by 9/);
  });

  it("take neither a small drift for one, nor one sample that is out of line", async () => {
    const small = steady.map((_, index) => (1 - index / 200) * GB);
    assert.deepEqual(await warningsOf(small), []);
    const outlier = [...steady, 0.5 * GB, ...steady];
    assert.deepEqual(await warningsOf(outlier), []);
  });

  it("tell of samples that leave the median uncertain", async () => {
    const wild = [1, 1.4, 0.8, 1.3, 0.9, 1.2, 1].map((value) => value * GB);
    assert.deepEqual(await warningsOf(wild), [
      "bandwidth varies: from 0.800 to 1.40 GB/s, the median known to ±30 % (98 % sure)",
    ]);
  });
});

describe("noise of this machine", () => {
  it("grows with time, and counts this process among what runs", () => {
    const source = new HostNoise(new Host());
    const before = source.read();
    const end = performance.now() + 200;
    while (performance.now() < end);
    const after = source.read();
    assert.ok(source.cpus >= 1);
    assert.ok(after.timeNs - before.timeNs >= 199e6);
    assert.ok(after.ownNs - before.ownNs >= 20e6, "it was busy");
    assert.ok(after.busyNs! >= before.busyNs!);
    assert.ok(after.stealNs! >= before.stealNs!);
    assert.ok(source.loadAverage()! >= 0);
  });
});
