/** Streams over soft-RoCE, between NVMe devices that VFIO owns, both ends in one process. */
import assert from "node:assert/strict";
import type { RdmaDevice } from "#lib/rdma/device.js";
import { Session } from "#lib/session.js";
import { StreamEnd } from "#lib/stream/end.js";
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

const SIZE = 8 * MIB;

describe("a stream over soft-RoCE", () => {
  let session: Session;
  let rdma: RdmaDevice;
  let between: StreamSetting;

  before(async () => {
    session = await Session.open({ platform: "vfio" });
    rdma = session.rdmaDevice("rxe0");
    const both = { bs: 128 * KIB, iodepth: 16, size: SIZE };
    between = { source: process.env.NVME1!, destination: process.env.NVME2!, both };
    await fill(session, between.source, SIZE, 7);
  });
  after(() => session.close());

  it("brings all blocks by way of host memory, which it chooses by itself, and says why", async () => {
    const setting = { ...between, both: { ...between.both, staging: "auto" as const } };
    await fill(session, between.destination, SIZE, 8);
    const pair = await StreamPair.open(session, plansOf(rdma, setting));
    const { source, destination } = await pair.goWell();
    await pair.close();
    assert.equal(
      await hashOf(session, between.destination, SIZE),
      await hashOf(session, between.source, SIZE),
    );
    assert.equal(source.bytes, SIZE);
    assert.equal(pair.destination.written, SIZE / (128 * KIB));
    assert.deepEqual(pair.source.staging, {
      memory: "host",
      reason: "host memory: there is no PCI function behind rxe0",
    });
    // What software copies nobody counts.
    assert.equal(destination.traffic.host_memory_bytes, null);
  });

  it("refuses peer memory that is asked for, and keeps none of it", async () => {
    const provider = await session.provider(process.env.CARD!);
    const [plan] = plansOf(rdma, between);
    await assert.rejects(StreamEnd.open(session, { ...plan, staging: "p2pmem", provider }), {
      code: "NO_DMABUF",
      device: "rxe0",
    });
    assert.equal(provider.pool.available, provider.size);
  });

  it("ends at both ends by a signal, in the middle", async () => {
    const pair = await StreamPair.open(
      session,
      plansOf(rdma, { ...between, both: { ...between.both, runtime: 60 } }),
    );
    const abort = new AbortController();
    const began = performance.now();
    const { source, destination } = await pair.run({
      signal: abort.signal,
      onProgress: (bytes) => {
        if (bytes > 0) abort.abort();
      },
    });
    assert.ok(performance.now() - began < 40_000);
    for (const end of [source, destination])
      assert.equal((end as { code?: string }).code, "INTERRUPTED", said(end));
    await pair.close();
  });
});
