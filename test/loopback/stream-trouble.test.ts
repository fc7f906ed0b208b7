/** Streams whose devices, peer memory or other end do wrong. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NativeFault } from "#lib/addon.js";
import { NvmeError, P2pError, RdmaError } from "#lib/errors.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import type { RdmaDevice } from "#lib/rdma/device.js";
import { Session } from "#lib/session.js";
import { StreamEnd } from "#lib/stream/end.js";
import type { StreamEndPlan } from "#lib/stream/plan.js";
import {
  fill,
  hashOf,
  KIB,
  MIB,
  plansOf,
  said,
  StreamPair,
  type StreamSetting,
} from "../support/streams.js";

/** Of the built-in machine `rdma`. */
const [SOURCE, TARGET, CARD, RNIC] = [
  "0000:03:00.0",
  "0000:04:00.0",
  "0000:05:00.0",
  "0000:06:00.0",
];
const SIZE = 4 * MIB;

/** The same, but that nothing gets from port to port: the ports redirect, and the host bridge drops it. */
const NOTHING_FORWARDED = `
host_bridge: { forwards: none }
root_ports:
  - device: switch
    ports:
      - { device: nvme, acs: [sv, rr, cr, uf] }
      - { device: nvme, acs: [sv, rr, cr, uf] }
      - { device: card, memory: 16m, acs: [sv, rr, cr, uf] }
      - { device: rnic, acs: [sv, rr, cr, uf] }
`;
/** So long that something happens while it runs. */
const LONG = { runtime: 20, bs: 4 * KIB };

describe("a stream with trouble", () => {
  let session: Session;
  let rdma: RdmaDevice;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 0.5 });
    rdma = session.rdmaDevice();
  });
  afterEach(() => session.close());

  const between: StreamSetting = { source: SOURCE, destination: TARGET };

  const inject = (device: string, fault: NativeFault): void => {
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    platform.inject(device, fault);
  };

  /** Calls `act` once some blocks have gone; what either end says. */
  async function meddle(setting: StreamSetting, act: () => void, signal?: AbortSignal) {
    const pair = await StreamPair.open(session, plansOf(rdma, setting));
    let from = 0;
    const began = performance.now();
    const outcome = await pair.run({
      signal,
      onProgress: (bytes) => {
        if (from > 0 || bytes === 0) return;
        from = bytes;
        act();
      },
    });
    assert.ok(from > 0 && performance.now() - began < 15_000, "long before its time is over");
    await pair.close();
    return { ...outcome, pair };
  }

  /** The same devices work, and nothing of the provider was kept. */
  async function assertUsable(setting: StreamSetting = between): Promise<void> {
    await fill(session, setting.source, SIZE, 7);
    await fill(session, setting.destination, SIZE, 8);
    const pair = await StreamPair.open(session, plansOf(rdma, setting));
    await pair.goWell();
    await pair.close();
    assert.equal(
      await hashOf(session, setting.destination, SIZE),
      await hashOf(session, setting.source, SIZE),
    );
  }

  function assertCode(error: unknown, code: string): asserts error is P2pError {
    assert.ok(error instanceof P2pError, String(error));
    assert.equal(error.code, code, error.message);
  }

  it("ends by its signal, and what was written is", async () => {
    const abort = new AbortController();
    const { source, destination, pair } = await meddle(
      { ...between, both: { bs: 4 * KIB, size: 64 * MIB } },
      () => {
        abort.abort();
      },
      abort.signal,
    );
    assertCode(source, "INTERRUPTED");
    assertCode(destination, "INTERRUPTED");
    const { written } = pair.destination;
    assert.ok(written > 0 && written < (64 * MIB) / (4 * KIB), `${written}`);
    const length = written * 4 * KIB;
    assert.equal(await hashOf(session, TARGET, length), await hashOf(session, SOURCE, length));
    await assertUsable();
  });

  it("ends where its session is closed, and is closed itself", async () => {
    const pair = await StreamPair.open(session, plansOf(rdma, { ...between, both: LONG }));
    const running = pair.run();
    await session.close();
    const { source, destination } = await running;
    assertCode(source, "INTERRUPTED");
    assertCode(destination, "INTERRUPTED");
    await pair.close();
  });

  it("ends where it is closed meanwhile", async () => {
    const pair = await StreamPair.open(session, plansOf(rdma, { ...between, both: LONG }));
    const running = pair.run();
    await pair.close();
    assertCode((await running).source, "INTERRUPTED");
    await assertUsable();
  });

  for (const role of ["source", "destination"] as const)
    it(`ends with REVOKED where the ${role}'s peer memory goes, which all let go of`, async () => {
      const provider = await session.provider(CARD);
      const peer: Partial<StreamEndPlan> = { staging: "p2pmem", provider };
      const setting: StreamSetting = {
        ...{ ...between, both: LONG },
        ...(role === "source" ? { atSource: peer } : { atDestination: peer }),
      };
      let revoked = Promise.resolve();
      const outcome = await meddle(setting, () => {
        revoked = provider.revoke(new P2pError("DEVICE_GONE", "somebody pulled it"));
      });
      assertCode(outcome[role], "REVOKED");
      await revoked;
      assert.equal(provider.pool.allocationCount, 0);
      await assertUsable();
    });

  it("says at the source that the other end does not answer, once the NIC's link is down", async () => {
    const { source, destination } = await meddle({ ...between, both: LONG }, () => {
      inject(RNIC, { on: "now", effect: "link-down" });
    });
    // Whichever has sent something notices it; the other one was ended.
    const failure = source instanceof RdmaError ? source : destination;
    assert.ok(failure instanceof RdmaError, said(failure));
    assert.equal(failure.status, 12);
    assert.equal(failure.device, "rnic0");
    assert.match(failure.message, /to the other end.* failed: Transport Retry Counter Exceeded$/);
    inject(RNIC, { on: "now", effect: "link-up" });
    await assertUsable();
  });

  it("goes on over packets that are lost, corrupted or late", async () => {
    for (const after of [3, 400, 900]) {
      inject(RNIC, { on: "packet", effect: "lose", after });
      inject(RNIC, { on: "packet", effect: "corrupt", after: after + 100 });
      inject(RNIC, { on: "packet", delay: 5, after: after + 200 });
    }
    await assertUsable();
  });

  it("ends where the NIC is pulled out", async () => {
    const { source, destination } = await meddle({ ...between, both: LONG }, () => {
      inject(RNIC, { on: "now", effect: "remove" });
    });
    for (const error of [source, destination]) assert.ok(error instanceof P2pError, said(error));
  });

  for (const [role, device, on] of [
    ["source", SOURCE, "read"],
    ["destination", TARGET, "write"],
  ] as const) {
    it(`ends with the status of a ${on} that fails at the ${role}`, async () => {
      const outcome = await meddle({ ...between, both: LONG }, () => {
        inject(device, { on, status: [2, 0x80] });
      });
      const error = outcome[role];
      assert.ok(error instanceof NvmeError, said(error));
      assert.equal(error.device, device);
      await assertUsable();
    });

    it(`ends with TIMEOUT where a ${on} hangs at the ${role}`, async () => {
      const outcome = await meddle({ ...between, both: LONG }, () => {
        inject(device, { on, effect: "hang" });
      });
      const error = outcome[role];
      assertCode(error, "TIMEOUT");
      assert.match(error.message, /did not complete in 0.5 s; it was aborted$/);
      await assertUsable();
    });

    it(`ends where the NVMe device of the ${role} is pulled out, and the other one goes on`, async () => {
      const outcome = await meddle({ ...between, both: LONG }, () => {
        inject(device, { on: "now", effect: "remove" });
      });
      const error = outcome[role];
      assertCode(error, "DEVICE_GONE");
      assert.equal(error.device, device);
    });
  }

  it("goes on where a command was late but has completed", async () => {
    inject(TARGET, { on: "write", after: 20, delay: 700 });
    inject(TARGET, { on: "abort", effect: "hang" });
    await assertUsable();
  });

  it("refuses ends that do not fit together", async () => {
    const [source, destination] = plansOf(rdma, between);
    for (const [code, there] of [
      ["SIZE_MISMATCH", { ...destination, bs: 4 * KIB }],
      ["SIZE_MISMATCH", { ...destination, size: 8 * MIB }],
      ["BAD_ARGUMENT", { ...source, endpoint: destination.endpoint }],
    ] as const)
      await assert.rejects(StreamPair.open(session, [source, there]), { code });
    await session.close();
  });

  it("refuses plans that cannot be, before anything is opened", async () => {
    const [plan] = plansOf(rdma, between);
    for (const [code, changes] of [
      ["BAD_ARGUMENT", { staging: "hbm" as "host" }],
      ["BAD_ARGUMENT", { role: "both" as "source" }],
      ["BAD_ARGUMENT", { iodepth: 0 }],
      ["BAD_ARGUMENT", { runtime: -1 }],
      ["BAD_ARGUMENT", { first: -1 }],
      ["BAD_ARGUMENT", { first: 257 }],
      ["BAD_SIZE", { bs: 0 }],
      ["BAD_SIZE", { size: 0 }],
      ["UNALIGNED", { bs: 1000 }],
      ["UNALIGNED", { size: 1000 }],
      ["BAD_RANGE", { size: 2 ** 50 }],
      ["NO_NAMESPACE", { endpoint: { ...plan.endpoint, nsid: 9 } }],
      ["NO_PORT", { port: 3 }],
      ["NO_GID", { gidIndex: 99 }],
      ["NO_PROVIDER", { staging: "cmb" as const, endpoint: { ...plan.endpoint, device: TARGET } }],
    ] as const)
      await assert.rejects(
        StreamEnd.open(session, { ...plan, ...changes } as StreamEndPlan),
        { code },
        code,
      );
  });

  it("stages in host memory where the kernel lets the NIC not reach the peer memory", async () => {
    const directory = mkdtempSync(join(tmpdir(), "p2pmem-stream-"));
    const file = join(directory, "machine.yaml");
    writeFileSync(file, NOTHING_FORWARDED);
    const other = await Session.open({ machine: file });
    try {
      const plans = plansOf(other.rdmaDevice(), { ...between, both: { staging: "auto" } });
      const end = await StreamEnd.open(other, plans[1]);
      assert.equal(end.staging.memory, "host");
      assert.match(end.staging.reason, /^host memory: .*does not reach|lets rnic0/);
      await end.close();
      const provider = await other.provider(CARD);
      await assert.rejects(StreamEnd.open(other, { ...plans[1], staging: "p2pmem", provider }), {
        code: "NOT_SUPPORTED",
      });
      assert.equal(provider.pool.available, provider.size);
    } finally {
      await other.close();
      rmSync(directory, { recursive: true });
    }
  });
});
