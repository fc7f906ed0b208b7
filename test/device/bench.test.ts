import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import { BenchError } from "#lib/bench/error.js";
import type { BenchReport } from "#lib/bench/report.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { P2pError } from "#lib/errors.js";
import type { Session } from "#lib/session.js";
import { devicesOf, isLab, openSession, type Devices } from "./machine.js";

const MIB = 2 ** 20;

describe("a benchmark", () => {
  let session: Session;
  let devices: Devices;
  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  /** One job between two controllers, through the card. */
  function run(parameters: JobParameters, signal?: AbortSignal): Promise<BenchReport> {
    const { nvme1, nvme2, card } = devices;
    return bench({
      session,
      allowWrite: true,
      jobs: {
        it: {
          ...{ src: `${nvme1}@0+4m`, dst: `${nvme2}@0+4m`, provider: `${card}/bar2` },
          ...{ bs: "64k", iodepth: 4, runtime: "50ms", samples: 3 },
          ...parameters,
        },
      },
      ...(signal === undefined ? {} : { signal }),
    });
  }

  it("sweeps paths and depths, and says what each took of host memory", async () => {
    const { results, machine, incomplete, platform } = await run({
      path: ["p2p", "host"],
      iodepth: [1, 4],
    });
    assert.equal(platform, isLab ? "vfio" : "loopback");
    assert.ok(!incomplete);
    assert.deepEqual(
      results.map(({ path, iodepth }) => `${path} ${iodepth}`),
      ["p2p 1", "host 1", "p2p 4", "host 4"],
    );
    for (const { path, bytes, traffic, samples, lat_ns: latency, iops, bw_bytes } of results) {
      assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : 2 * bytes);
      assert.equal(samples.bw_bytes.length, 3);
      assert.ok(latency!.min <= latency!.mean && latency!.mean <= latency!.max);
      assert.ok(latency!.percentile["50"]! <= latency!.percentile["99.9"]!);
      assert.ok(Math.abs(iops * 64 * 1024 - bw_bytes) < bw_bytes / 100);
    }
    const [first, second, third, fourth] = results.map(({ samples }) => samples.at_s);
    const order = [0, 1, 2].flatMap((index) => [first![index]!, second![index]!]);
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
      "p2p and host take turns",
    );
    assert.ok(Math.max(...order) < Math.min(...third!, ...fourth!));
    const roles = new Map(machine.devices.map(({ address, role }) => [address, role]));
    assert.deepEqual(
      [devices.nvme1, devices.nvme2, devices.card].map((address) => roles.get(address)),
      ["source", "destination", "provider"],
    );
    assert.equal(machine.paths.length, 2);
  });

  it("warms each path up first, has the CPU time of each sample, and the drivers", async () => {
    const { results, machine } = await run({ path: ["p2p", "host"], samples: 2 });
    for (const { warm_up_ns: warmUp, samples, cpu } of results) {
      // 0.1 s, and what was in flight after them.
      assert.ok(warmUp >= 100e6, `${warmUp} ns`);
      for (const figures of Object.values(samples.cpu)) assert.equal(figures.length, 2);
      const all = cpu.busy_ns_per_block!;
      const [one, other] = samples.cpu.busy_ns_per_block as [number, number];
      assert.ok(Math.min(one, other) <= all && all <= Math.max(one, other));
    }
    assert.ok(Math.min(...results.flatMap(({ samples }) => samples.at_s)) >= 0.2, "before both");
    assert.equal(
      machine.drivers.some(({ name }) => name === "vfio-pci"),
      isLab,
    );
  });

  it("says of I/Os whose submission queues lie in a CMB that they do", async () => {
    const { nvmeCmb } = devices;
    const io = { src: `${nvmeCmb}@0+4m`, dst: "auto", path: "p2p", samples: 1 } as const;
    for (const [rw, side] of [
      ["read", "src"],
      ["write", "dst"],
    ] as const) {
      const { results } = await run({ ...io, rw, sq_in_cmb: true });
      assert.deepEqual(results[0]!.in_cmb, [`${side} sq`]);
      assert.ok(results[0]!.ios > 0);
    }
    const { results } = await run({ ...io, rw: "read" });
    assert.deepEqual(results[0]!.in_cmb, []);
  });

  it("reads into peer memory, and mixes reads with writes", async () => {
    const { results } = await run({
      ...{ rw: ["randread", "randrw"], path: ["p2p", "host"], rwmixread: 70 },
      ...{ src: `${devices.nvme1}@0+4m`, dst: "auto" },
    });
    assert.equal(results.length, 4);
    for (const { rw, path, read, write, src, dst, traffic, bytes, ios } of results) {
      assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : bytes);
      assert.ok(src!.startsWith(devices.nvme1));
      assert.equal(dst, rw === "randrw" ? src : null);
      if (rw === "randread") assert.deepEqual([read, write], [null, null]);
      else assert.equal(read!.ios + write!.ios, ios);
    }
  });

  it("ends by its size, however long that takes, where a job says so", async () => {
    const report = await bench({ session, allowWrite: true, jobs: { it: sized() } });
    assert.equal(report.results[0]!.bytes, 3 * 2 * MIB);
    // A runtime that is not time_based only bounds it.
    for (const rw of ["copy", "read"] as const) {
      const { dst, ...rest } = sized();
      const ends = rw === "copy" ? { dst: dst! } : {};
      const jobs = { it: { ...rest, ...ends, rw, samples: 1, runtime: "600s" } };
      const bounded = await bench({ session, allowWrite: true, jobs });
      assert.equal(bounded.results[0]!.bytes, 2 * MIB);
    }
  });

  function sized(): JobParameters {
    const { nvme1, nvme2, card } = devices;
    return {
      ...{ src: nvme1, dst: nvme2, provider: `${card}/bar2`, path: "p2p", bs: "64k" },
      ...{ size: MIB, loops: 2, samples: 3 },
    };
  }

  it("judges what its job expects", async () => {
    const { expectations } = await run({
      path: ["p2p", "host"],
      expect: [
        "p2p.traffic.host_memory_bytes == 0",
        "host.traffic.host_memory_bytes == 0",
        "cpu.bw_bytes > 0",
      ],
    });
    assert.deepEqual(
      expectations.map(({ outcome }) => outcome),
      ["pass", "fail", "error"],
    );
  });

  it("evaluates what people expect first: gain, traffic, data, latency", async () => {
    const { expectations } = await run({
      path: ["p2p", "host"],
      verify: "crc32c",
      expect: [
        "p2p.traffic.host_memory_bytes == 0",
        "verify.mismatches == 0",
        // How these turn out depends on the machine.
        "p2p.bw_bytes / host.bw_bytes >= 0.9",
        "lat_ns.p99 < 500us",
      ],
    });
    const [traffic, data, gain, latency] = expectations.map(({ outcome }) => outcome);
    assert.deepEqual([traffic, data], ["pass", "pass"]);
    for (const outcome of [gain, latency]) assert.match(outcome!, /^(pass|fail)$/);
    assert.match(expectations[2]!.detail, /^p2p\.bw_bytes \/ host\.bw_bytes = [\d.]+ /);
    assert.match(expectations[3]!.detail, /lat_ns\.p99 = [\d.]+us /);
  });

  it("gives what it has when it is interrupted", async () => {
    const abort = new AbortController();
    const running = bench({
      session,
      allowWrite: true,
      jobs: { it: { ...sized(), samples: 50 } },
      signal: abort.signal,
      onProgress: ({ sample }) => {
        if (sample === 3) abort.abort();
      },
    });
    await assert.rejects(running, (error) => {
      assert.ok(error instanceof BenchError);
      assert.equal(error.code, "INTERRUPTED");
      const { incomplete, results } = error.report;
      assert.ok(incomplete);
      assert.deepEqual(
        results.map((result) => [result.samples.bw_bytes.length, result.incomplete]),
        [[2, true]],
      );
      return true;
    });
  });

  it("refuses a point that cannot run before the first of them does", async () => {
    await assert.rejects(
      run({ path: "p2p", bs: ["64k", "1000"] }),
      (error) =>
        error instanceof P2pError && !(error instanceof BenchError) && error.code === "UNALIGNED",
    );
  });
});
