/** A benchmark over soft-RoCE, whose NIC is software: by host memory it works. Runs inside the lab only. */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { Session } from "#lib/session.js";

const { NVME1, NVME2, CARD } = process.env;

describe("a benchmark over RDMA in the lab", () => {
  let session: Session;
  before(async () => {
    session = await Session.open({ platform: "vfio" });
  });
  after(() => session.close());

  const overrides: JobParameters = {
    ...{ src: `${NVME1}@0+2m`, dst: `${NVME2}@0+2m`, provider: CARD! },
    ...{ bs: "64k", iodepth: 8, size: "2m", samples: 2 },
  };

  it("copies by host memory at both ends, verified, and leaves rdma-p2p out with its reason", async () => {
    const { results, warnings, machine } = await bench({
      ...{ session, jobs: "rdma", allowWrite: true },
      overrides: { ...overrides, verify: "crc32c" },
    });
    assert.deepEqual(
      results.map(({ path, bytes, failed, verify }) => [
        ...[path, bytes, failed, verify?.blocks, verify?.mismatches],
      ]),
      ["p2p", "host", "rdma-host"].map((path) => [path, 2 * (2 << 20), null, 2 * 32, 0]),
    );
    assert.ok(
      warnings.some((text) =>
        /^rdma: the path rdma-p2p is left out for .*: rxe0 reaches no peer memory/.test(text),
      ),
      warnings.join("\n"),
    );
    const { rdma, traffic, lat_ns } = results[2]!;
    for (const { dev, address, port, staging, host_memory_bytes: host, cpu } of [
      rdma!.src,
      rdma!.dst,
    ]) {
      assert.deepEqual([dev, address, port, staging], ["rxe0", null, 1, "host"]);
      // The CPU moves the data, and how often nobody knows.
      assert.equal(host, null);
      assert.ok(cpu.sys_pct + cpu.usr_pct > 0);
    }
    assert.deepEqual([traffic.source, traffic.host_memory_bytes], ["derived", null]);
    assert.ok(lat_ns!.min > 0);
    assert.ok(machine.devices.every(({ role }) => role !== "nic"));
  });

  it("says before anything runs that there is no rdma-p2p, where that was asked for", async () => {
    await assert.rejects(
      bench({
        ...{ session, jobs: "rdma", allowWrite: true },
        overrides: { ...overrides, path: ["rdma-host", "rdma-p2p"] },
      }),
      { code: "NO_DMABUF", message: /rxe0 reaches no peer memory/, hint: /host memory/ },
    );
  });
});
