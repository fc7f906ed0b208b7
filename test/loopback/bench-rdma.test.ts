/** Copies over a NIC's wire beside copies inside the machine, in one benchmark. */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import { BenchError } from "#lib/bench/error.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { reportSchema } from "#lib/bench/report-schema.js";
import type { NativeFault } from "#lib/addon.js";
import { openMemoryOf } from "#lib/cli/rdma-memory.js";
import { P2pError } from "#lib/errors.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { defaultsOf } from "#lib/rdma-perf/plan.js";
import { Session } from "#lib/session.js";
import { VERIFY_MODES } from "#lib/verify/mode.js";

const [NVME0, NVME1, NIC] = ["0000:03:00.0", "0000:04:00.0", "0000:06:00.0"];
const CARD = "0000:05:00.0/bar2";
const PATHS = ["p2p", "host", "rdma"] as const;

describe("a benchmark over RDMA", () => {
  let session: Session;
  before(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma" });
  });
  after(() => session.close());

  function run(parameters: JobParameters): Promise<BenchReport> {
    const it: JobParameters = {
      ...{ src: `${NVME0}@0+2m`, dst: `${NVME1}@1m+2m`, path: PATHS },
      ...{ bs: "64k", iodepth: 4, samples: 2 },
      ...parameters,
    };
    // Said of all jobs, it need not make sense on each path.
    return bench({ session, jobs: { global: { provider: CARD }, it } });
  }

  /** One result for each path, by its name. */
  function byPath({ results }: BenchReport): Record<BenchResult["path"], BenchResult> {
    const all = Object.fromEntries(results.map((result) => [result.path, result]));
    assert.equal(Object.keys(all).length, results.length);
    return all as Record<BenchResult["path"], BenchResult>;
  }

  async function withFault<T>(device: string, fault: NativeFault, work: () => Promise<T>) {
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    platform.inject(device, fault);
    try {
      return await work();
    } finally {
      platform.clearFaults(device);
    }
  }

  it("counts the bytes of host memory: none by way of peer memory, two a byte at each end else", async () => {
    const report = await run({ size: "2m", loops: 3, ramp_time: 0.01 });
    assert.doesNotThrow(() => reportSchema.parse(JSON.parse(JSON.stringify(report))));
    const all = byPath(report);
    const each = { p2p: 0, host: 2, "rdma-p2p": 0, "rdma-host": 4 };
    for (const [path, times] of Object.entries(each)) {
      const { bytes, ios, traffic, limit_bw_bytes: limit, lat_ns } = all[path as "p2p"];
      // Of what counts alone, although there was a ramp before.
      assert.deepEqual([bytes, ios], [2 * 3 * (2 << 20), 2 * 3 * 32], path);
      assert.equal(traffic.source, "counted");
      assert.equal(traffic.host_memory_bytes, times * bytes, path);
      assert.ok(limit! > 0 && lat_ns!.min > 0 && lat_ns!.max >= lat_ns!.percentile["99"]!);
    }
    for (const path of ["p2p", "host"] as const) assert.equal(all[path].rdma, null);
    for (const [path, staging, times] of [
      ["rdma-p2p", CARD, 0],
      ["rdma-host", "host", 2],
    ] as const) {
      const { src, dst } = all[path].rdma!;
      for (const [end, port] of [
        [src, 1],
        [dst, 2],
      ] as const) {
        assert.deepEqual([end.address, end.port, end.staging], [NIC, port, staging]);
        assert.equal(end.host_memory_bytes, times * all[path].bytes);
        assert.ok(end.cpu.usr_pct + end.cpu.sys_pct > 0 && end.cpu.busy_ns_per_block! > 0);
      }
      const { cpu } = all[path];
      const sum = src.cpu.busy_ns_per_block! + dst.cpu.busy_ns_per_block!;
      assert.ok(Math.abs(cpu.busy_ns_per_block! / sum - 1) < 1e-9);
      assert.ok(cpu.device_ns_per_block! > 0);
    }
  });

  it("lets the paths take turns, and describes the NIC and its way to the peer memory", async () => {
    const { results, machine } = await run({ runtime: "20ms" });
    const begins = results.map(({ samples }) => samples.at_s);
    const inOrder = [0, 1].flatMap((sample) => begins.map((each) => each[sample]!));
    assert.equal(inOrder.length, 8);
    assert.deepEqual(
      inOrder,
      [...inOrder].sort((a, b) => a - b),
    );
    assert.equal(machine.devices.find(({ address }) => address === NIC)?.role, "nic");
    assert.ok(
      machine.paths.some(({ client, provider }) => client === NIC && CARD.startsWith(provider)),
    );
  });

  it("goes as fast as it is told, and from one port to the other in either direction", async () => {
    const { results } = await run({
      ...{ path: "rdma", ib_dev: session.rdmaDevice().name, ib_port: "2:1", gid_index: 1 },
      ...{ rate_iops: 100, runtime: "300ms", samples: 1, cpus_allowed: "0" },
    });
    for (const { rdma, iops } of results) {
      assert.deepEqual([rdma!.src.port, rdma!.dst.port], [2, 1]);
      assert.deepEqual([rdma!.src.gid_index, rdma!.dst.gid_index], [1, 1]);
      // Ask no least of a busy machine.
      assert.ok(iops > 0 && iops < 130, `${iops}`);
    }
  });

  it("says of a copy that both its ends share a port, and of no other", async () => {
    for (const ib_port of ["1:1", "1:2"] as const) {
      const { results } = await run({ path: "rdma-host", ib_port, runtime: "20ms", samples: 1 });
      const notes = results[0]!.warnings.filter((text) =>
        /^both ends share port 1 of rnic0/.test(text),
      );
      assert.equal(notes.length, ib_port === "1:1" ? 1 : 0);
    }
  });

  for (const verify of VERIFY_MODES)
    it(`looks at every sample by ${verify}`, async () => {
      const { results } = await run({ verify, size: "2m", samples: 3, bs: ["16k", "128k"] });
      assert.equal(results.length, 8);
      for (const result of results) {
        const blocks = (3 * (2 << 20)) / result.bs;
        const { mode, mismatches, first } = result.verify!;
        assert.deepEqual([mode, result.verify!.blocks, mismatches], [verify, blocks, 0], first!);
      }
    });

  for (const path of ["rdma-p2p", "rdma-host"] as const)
    for (const verify of VERIFY_MODES)
      it(`finds by ${verify} the block that a sample over ${path} did not write`, async () => {
        // The warm-up writes 32 blocks at most; what prepares the destination is four writes of 512k.
        const after = 32 + (verify === "memcmp" ? 4 : 0);
        const fault = { on: "write", after, effect: "drop-dma" } as const;
        const { results } = await withFault(NVME1, fault, () =>
          run({ path, verify, size: "2m", iodepth: 1, samples: 1 }),
        );
        const { blocks, mismatches, first } = results[0]!.verify!;
        assert.deepEqual([blocks, mismatches], [32, 1], first ?? "");
        assert.ok(first!.startsWith(`sample 1: ${NVME1}/1, LBA `), first!);
        assert.match(first!, /: stale: there is /);
      });

  it("has a path over the wire fail alone where the link goes down", async () => {
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    const job = { ...{ src: `${NVME0}@0+2m`, dst: `${NVME1}@0+2m`, bs: "64k", iodepth: 4 } };
    const failing = bench({
      session,
      jobs: { it: { ...job, path: ["rdma-host", "host"], runtime: "600ms", samples: 2 } },
      onProgress: ({ point, phase, bytes }) => {
        if (point.path === "rdma-host" && phase === "measure" && bytes > 0)
          platform.inject(NIC, { on: "now", effect: "link-down" });
      },
    });
    try {
      await assert.rejects(failing, (error: unknown) => {
        assert.ok(error instanceof BenchError);
        const { "rdma-host": wired, host } = byPath(error.report);
        assert.deepEqual([wired.failed?.code, error.code], ["RDMA_STATUS", "RDMA_STATUS"]);
        assert.equal(host.failed, null);
        assert.equal(host.samples.bw_bytes.length, 2);
        return true;
      });
    } finally {
      platform.clearFaults(NIC);
    }
    const { results } = await run({ path: "rdma-host", runtime: "20ms" });
    assert.equal(results[0]!.failed, null);
  });

  it("leaves rdma-p2p out of the built-in job where the NIC is software, and says why", async () => {
    await using soft = await Session.open({ platform: "loopback", machine: "rdma" });
    // As with soft-RoCE no PCI function is behind it.
    Object.defineProperty(soft.rdmaDevice(), "fn", { value: null });
    const overrides = { runtime: "10ms", samples: 1, bs: "4k", iodepth: 1 } as const;
    const { results, warnings } = await bench({ session: soft, jobs: "rdma", overrides });
    assert.deepEqual(
      results.map(({ path, failed }) => [path, failed]),
      [
        ["p2p", null],
        ["host", null],
        ["rdma-host", null],
      ],
    );
    const said =
      /^rdma: the path rdma-p2p is left out for \S+ and \S+: rnic0 reaches no peer memory/;
    assert.ok(
      warnings.some((text) => said.test(text)),
      warnings.join("\n"),
    );
    const { src, dst } = results[2]!.rdma!;
    for (const end of [src, dst])
      assert.deepEqual([end.address, end.host_memory_bytes, end.staging], [null, null, "host"]);
    await assert.rejects(
      bench({ session: soft, jobs: "rdma", overrides: { ...overrides, path: "rdma" } }),
      { code: "NO_DMABUF", message: /^path: rnic0 reaches no peer memory/ },
    );
  });

  /** Has the NIC refuse the memory of some providers, as a driver may that imports no dma-buf of theirs. */
  function refusing(session: Session, isRefused: (provider: string) => boolean): void {
    const nic = session.rdmaDevice();
    const allocate = nic.allocateDomain.bind(nic);
    nic.allocateDomain = () => {
      const domain = allocate();
      const register = domain.register.bind(domain);
      domain.register = (list, access) => {
        const name = list.peer?.name ?? "";
        if (isRefused(name)) throw new P2pError("NO_DMABUF", `rnic0 imports no ${name}`);
        return register(list, access);
      };
      return domain;
    };
  }

  it("takes the nearest memory that the NIC registers, and says why no nearer", async () => {
    await using picky = await Session.open({ platform: "loopback", machine: "rdma" });
    refusing(picky, (name) => name.startsWith(NVME0));
    const job: JobParameters = {
      ...{ src: `${NVME0}@0+2m`, dst: `${NVME1}@1m+2m`, path: ["p2p", "rdma-p2p"] },
      ...{ bs: "4k", iodepth: 1, runtime: "10ms", samples: 1 },
    };
    const { results, warnings } = await bench({ session: picky, jobs: { it: job } });
    assert.deepEqual(
      results.map(({ path, provider }) => [path, provider]),
      [
        ["p2p", `${NVME0}/cmb`],
        ["rdma-p2p", CARD],
      ],
    );
    const said = `it: the path rdma-p2p takes ${CARD}, no nearer memory, for `;
    const [line] = warnings.filter((text) => text.startsWith(said));
    assert.match(line ?? warnings.join(), /: rnic0 imports no 0000:03:00\.0\/cmb$/);
  });

  for (const only of [`${NVME0}/cmb`, CARD])
    it(`has messages in ${only} where the NIC registers no other, wherever that is in turn`, async () => {
      await using picky = await Session.open({ platform: "loopback", machine: "rdma" });
      refusing(picky, (name) => name !== only);
      const test = { ...defaultsOf("write", "bw"), sizes: [4096] };
      const memory = await openMemoryOf(
        ...([picky, picky.rdmaDevice(), { kind: "p2pmem", provider: null }, test, 1] as const),
      );
      assert.ok(memory.kind === "p2pmem");
      assert.equal(memory.provider.name, only);
    });

  const wrong: [parameters: JobParameters, code: string, message: RegExp][] = [
    [{ ib_port: 3 }, "NO_PORT", /^it\.ib_port: /],
    [{ ib_port: "1:3" }, "NO_PORT", /^it\.ib_port: /],
    [{ gid_index: "0:99" }, "NO_GID", /^it\.gid_index: port 2 of .* has no GID 99$/],
    [{ ib_dev: "rxe7" }, "UNKNOWN_DEVICE", /^it\.ib_dev: .*rxe7/],
    [{ dst: `${NVME0}@1m+2m` }, "OVERLAP", /source and destination overlap/],
    [{ bs: "1000" }, "UNALIGNED", /^it\.bs: /],
  ];
  for (const [parameters, code, message] of wrong)
    it(`says before anything runs what is wrong: ${JSON.stringify(parameters)}`, async () => {
      await assert.rejects(run({ path: "rdma", ...parameters }), { code, message });
    });

  it("needs a NIC, and says which loopback machine has one", async () => {
    await using plain = await Session.open({ platform: "loopback" });
    await assert.rejects(bench({ session: plain, jobs: "rdma" }), {
      code: "NO_RDMA_DEVICE",
      hint: /--machine rdma/,
    });
  });
});
