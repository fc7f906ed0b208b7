import assert from "node:assert/strict";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import { Bench, machineWith, NVME0, NVME1, PAGE, waitFor } from "../support/raw-nvme.js";

const DOORBELL_BUFFER_CONFIG = 0x7c;
const FLUSH = { opcode: 0, nsid: 1 };
const QID = 3;
const SQ = 2 * QID; // words into both buffers
const CQ = SQ + 1;

describe("loopback NVMe shadow doorbells", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let shadow: HostMemory;
  let events: HostMemory;
  let queue: RawQueue;

  const configure = (prp1: number, prp2: number) =>
    nvme.admin.run({ opcode: DOORBELL_BUFFER_CONFIG, prp1, prp2 }).status;
  const write = (index: number, value: number) => Atomics.store(shadow.words, index, value);
  const event = (index: number) => Atomics.load(events.words, index);
  const waitForEvent = (index: number, value: number) => {
    waitFor(`event index ${value}`, () => event(index) === value);
  };
  /** A command on the admin queue after which the controller has been round all its queues. */
  const round = () => {
    nvme.identify(1);
    nvme.identify(1);
  };

  beforeEach(() => {
    const namespaces = [{ size: 1 << 20, block: 512 as const, file: null }];
    bench = new Bench(machineWith({ shadowDoorbells: true, namespaces }));
    nvme = bench.nvme(NVME0).enable();
    shadow = bench.host(PAGE);
    events = bench.host(PAGE);
    assert.equal(configure(shadow.iova, events.iova), 0);
    queue = nvme.createPair(nvme.queue(QID, 4));
  });
  afterEach(() => {
    bench.close();
  });

  it("are in OACS, and not where the machine gives none", () => {
    assert.equal(nvme.identify(1).data.getUint16(256, true), 1 << 8);
    const other = bench.nvme(NVME1).enable();
    assert.equal(other.identify(1).data.getUint16(256, true), 0);
    const refused = { opcode: DOORBELL_BUFFER_CONFIG, prp1: shadow.iova, prp2: events.iova };
    assert.equal(other.admin.run(refused).status, 0x4001);
  });

  it("need buffers that are page aligned", () => {
    assert.equal(configure(shadow.iova + 4, events.iova), 0x4002);
    assert.equal(configure(shadow.iova, events.iova + 64), 0x4002);
  });

  it("are not looked at before the register is rung, where the controller has asked for that", () => {
    round();
    queue.push(FLUSH);
    write(SQ, 1);
    round();
    assert.equal(queue.poll(), null, "it sleeps");
    queue.ring();
    assert.equal(queue.wait().status, 0);
    waitForEvent(SQ, 1);
  });

  it("count, and not the value that the register is rung with", () => {
    round();
    queue.push(FLUSH);
    queue.push(FLUSH);
    write(SQ, 2);
    queue.ring(1);
    assert.deepEqual([queue.wait().status, queue.wait().status], [0, 0]);
    waitForEvent(SQ, 2);
  });

  it("are rung with the same value again, all the way round", () => {
    for (let i = 0; i < 20; i++) {
      queue.push(FLUSH);
      write(SQ, queue.tail);
      queue.ring(1);
      assert.equal(queue.wait().status, 0);
      write(CQ, queue.head);
      waitForEvent(SQ, queue.tail);
    }
  });

  it("ask for the completion queue's doorbell only when that is full", () => {
    assert.equal(nvme.admin.run({ opcode: 0x00, dwords: [QID] }).status, 0);
    const deep = nvme.queue(QID, 8);
    Object.assign(deep, { cq: queue.cq });
    assert.equal(nvme.createSq(QID, 8, deep.sq.iova, QID).status, 0);
    write(SQ, 0);
    Atomics.store(events.words, CQ, 99);
    for (let i = 0; i < 7; i++) deep.push(FLUSH);
    write(SQ, 7);
    deep.ring(7);
    const entry = (index: number) => Atomics.load(queue.cq.words, index * 4 + 3) >>> 16;
    waitFor("three completions", () => entry(2) % 2 === 1);
    waitForEvent(CQ, 0);
    round();
    write(CQ, 2);
    round();
    assert.equal(entry(3), 0, "it sleeps");
    nvme.doorbells[CQ * nvme.stride] = 2;
    waitFor("two more", () => entry(3) % 2 === 1 && entry(0) % 2 === 0);
    waitForEvent(CQ, 2);
  });

  it("report values that are none, and end with a reset", () => {
    nvme.admin.push({ opcode: 0x0c });
    nvme.admin.ring();
    round0();
    write(SQ, 9);
    queue.ring(1);
    assert.equal(nvme.admin.wait().result, 0x01_01_00); // invalid doorbell value
    nvme.bar0.write32(0x14, 0);
    nvme.enable();
    queue = nvme.createPair(nvme.queue(QID, 4));
    write(SQ, 0);
    assert.equal(queue.run(FLUSH).status, 0, "by the register again");
  });

  /** As round(), with a completion that may be an event's. */
  function round0(): void {
    queue.push(FLUSH);
    write(SQ, 1);
    queue.ring();
    assert.equal(queue.wait().status, 0);
    waitForEvent(SQ, 1);
  }
});
