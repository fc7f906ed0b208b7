/** Streams from NVMe device to NVMe device over the loopback machine's NIC, in one process. */
import assert from "node:assert/strict";
import type { RdmaDevice } from "#lib/rdma/device.js";
import { Session } from "#lib/session.js";
import {
  fill,
  hashOf,
  KIB,
  MIB,
  plansOf,
  StreamPair,
  type StreamSetting,
} from "../support/streams.js";

/** Of the built-in machine `rdma`. */
const [WITH_CMB, PLAIN, CARD] = ["0000:03:00.0", "0000:04:00.0", "0000:05:00.0"];
const SIZE = 4 * MIB;

describe("a stream on the loopback machine", () => {
  let session: Session;
  let rdma: RdmaDevice;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 2 });
    rdma = session.rdmaDevice();
  });
  afterEach(() => session.close());

  const between: StreamSetting = { source: `${WITH_CMB}@1m`, destination: `${PLAIN}@2m` };

  async function stream(setting: StreamSetting, options = {}) {
    const plans = plansOf(rdma, setting);
    const [from] = plans;
    await fill(session, setting.source, from.size, 7);
    await fill(session, setting.destination, from.size, 8);
    const pair = await StreamPair.open(session, plans);
    try {
      const outcome = await pair.goWell(options);
      const [expected, found] = [
        await hashOf(session, setting.source, from.size),
        await hashOf(session, setting.destination, from.size),
      ];
      assert.equal(found, expected);
      return { ...outcome, pair };
    } finally {
      await pair.close();
    }
  }

  it("brings all blocks through host memory, and counts what crossed it", async () => {
    const { source, destination, pair } = await stream(between);
    assert.equal(pair.source.staging.memory, "host");
    assert.equal(pair.destination.written, SIZE / (16 * KIB));
    for (const { bytes, blocks, latency, iodepth } of [source, destination]) {
      assert.equal(bytes, SIZE);
      assert.equal(blocks, SIZE / (16 * KIB));
      assert.equal(latency.count, blocks);
      assert.equal(iodepth, 8);
    }
    assert.equal(source.traffic.source, "counted");
    // Once into and once out of it, at either end.
    assert.equal(source.traffic.host_memory_bytes, 4 * SIZE);
    assert.equal(source.ownTraffic.host_memory_bytes, 2 * SIZE);
    assert.equal(destination.traffic.source, "derived");
    assert.equal(destination.traffic.host_memory_bytes, 2 * SIZE);
    assert.ok(source.runtimeNs > 0 && source.cpu.busyNs > 0 && destination.cpu.busyNs > 0);
  });

  for (const [what, changes] of [
    ["of less than a page", { bs: 512, iodepth: 32, size: 256 * KIB }],
    ["of several commands", { bs: 2 * MIB, iodepth: 3, size: 8 * MIB }],
    ["of which the last one is shorter", { bs: 96 * KIB, size: 4 * MIB }],
    ["one at a time", { bs: 64 * KIB, iodepth: 1 }],
    ["fewer than may be in flight", { bs: MIB, iodepth: 16, size: 3 * MIB }],
  ] as const)
    it(`brings blocks ${what}`, async () => {
      const { source } = await stream({ ...between, both: changes });
      const [plan] = plansOf(rdma, { ...between, both: changes });
      assert.equal(source.bytes, plan.size);
      assert.equal(source.blocks, Math.ceil(plan.size / plan.bs));
    });

  it("goes on at a block in the middle of the range", async () => {
    const plans = plansOf(rdma, { ...between, both: { first: 100 } });
    await fill(session, between.source, SIZE, 7);
    await fill(session, between.destination, SIZE, 8);
    const before = await hashOf(session, between.destination, 100 * 16 * KIB);
    const pair = await StreamPair.open(session, plans);
    const { source, destination } = await pair.goWell();
    await pair.close();
    assert.equal(source.bytes, SIZE - 100 * 16 * KIB);
    assert.equal(destination.bytes, source.bytes);
    assert.equal(pair.destination.written, SIZE / (16 * KIB));
    assert.equal(await hashOf(session, between.destination, 100 * 16 * KIB), before);
    const rest = SIZE - 100 * 16 * KIB;
    assert.equal(
      await hashOf(session, `${PLAIN}@${2 * MIB + 100 * 16 * KIB}`, rest),
      await hashOf(session, `${WITH_CMB}@${MIB + 100 * 16 * KIB}`, rest),
    );
  });

  it("has nothing to do where all is written, and says so", async () => {
    const both = { first: SIZE / (16 * KIB) };
    const pair = await StreamPair.open(session, plansOf(rdma, { ...between, both }));
    const { source, destination } = await pair.goWell();
    await pair.close();
    assert.deepEqual([source.bytes, destination.bytes], [0, 0]);
    assert.equal(pair.destination.written, SIZE / (16 * KIB));
  });

  it("runs for a time, after a ramp, and counts the same at both ends", async () => {
    const both = { runtime: 0.3, rampTime: 0.1, bs: 4 * KIB };
    let begun = 0;
    const atSource = { onBegin: () => (begun = performance.now()) };
    const pair = await StreamPair.open(session, plansOf(rdma, { ...between, both, atSource }));
    const progress: number[] = [];
    const { source, destination } = await pair.goWell({
      onProgress: (bytes) => progress.push(bytes),
    });
    await pair.close();
    assert.ok(begun > 0 && performance.now() - begun >= 300);
    assert.ok(source.runtimeNs >= 0.3e9);
    assert.equal(source.blocks, destination.blocks);
    assert.equal(source.bytes, destination.bytes);
    assert.equal(source.latency.count, source.blocks);
    assert.equal(source.traffic.host_memory_bytes, 4 * source.bytes);
    assert.ok(Math.max(...progress) > 0);
  });

  const card = () => session.provider(CARD);
  for (const [what, staging, host] of [
    ["through peer memory at both ends, none through host memory", ["p2pmem", "p2pmem"], 0],
    ["from the source's CMB to the card", ["cmb", "p2pmem"], 0],
    ["from host memory to peer memory", ["host", "p2pmem"], 2],
    ["from peer memory to host memory", ["p2pmem", "host"], 2],
  ] as const)
    it(`brings blocks ${what}`, async () => {
      const provider = await card();
      const named = (choice: (typeof staging)[number]) =>
        choice === "p2pmem" ? { staging: choice, provider } : { staging: choice };
      const setting = {
        ...between,
        ...{ atSource: named(staging[0]), atDestination: named(staging[1]) },
      };
      const { source, destination, pair } = await stream(setting);
      assert.equal(source.traffic.source, "counted");
      assert.equal(source.traffic.host_memory_bytes, host * SIZE);
      const own = (at: 0 | 1): number => (staging[at] === "host" ? 2 * SIZE : 0);
      assert.equal(source.ownTraffic.host_memory_bytes, own(0));
      assert.equal(destination.ownTraffic.host_memory_bytes, own(1));
      const names = { p2pmem: `${CARD}/bar2`, cmb: `${WITH_CMB}/cmb`, host: "host" };
      assert.equal(pair.source.staging.memory, names[staging[0]]);
      assert.equal(pair.destination.staging.memory, names[staging[1]]);
      assert.equal(provider.pool.available, provider.size, "all was given back");
    });

  it("chooses the closest peer memory by itself, and says why", async () => {
    const { source, pair } = await stream({ ...between, both: { staging: "auto" } });
    assert.equal(source.traffic.host_memory_bytes, 0);
    assert.equal(pair.source.staging.memory, `${WITH_CMB}/cmb`);
    assert.equal(pair.destination.staging.memory, `${CARD}/bar2`);
    assert.equal(pair.destination.staging.reason, `${CARD}/bar2: ${PLAIN} and rnic0 reach it`);
  });
});
