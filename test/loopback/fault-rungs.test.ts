/** Faults by which each way to be rid of a command can be made to fail, at register level. */
import assert from "node:assert/strict";
import type { NativeFault } from "#lib/addon.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import {
  Bench,
  blocks,
  CARD,
  machineWith,
  NVME0,
  READ,
  Register,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

const FLUSH = { opcode: 0, nsid: 1 };
const ABORT = 0x08;
const DELETE_SQ = 0x00;
const DELETE_CQ = 0x04;
const SMALL = [{ size: 1 << 20, block: 512 as const, file: null }];
const ABORTED = 0x07; // Command Abort Requested
const ABORTED_WITH_QUEUE = 0x08; // Command Aborted due to SQ Deletion
const ABORT_LIMIT_EXCEEDED = 0x103;
const ABORT_LIMIT = 4; // Identify ACL, 0's based, and one
/** Milliseconds; long enough for what is done meanwhile, on a busy machine as well. */
const LATE = 200;

describe("faults of the loopback machine, against each way to end a command:", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;

  const inject = (fault: NativeFault, address = NVME0) => {
    bench.native.inject(address, fault);
  };
  const command = (opcode: number) => ({ opcode, nsid: 1, prp1: data.iova, dwords: blocks(0, 8) });
  const send = (opcode: number) => {
    const cid = queue.push(command(opcode));
    queue.ring();
    return cid;
  };
  const abortion = (cid: number) => ({ opcode: ABORT, dwords: [queue.qid | (cid << 16)] });
  const abort = (cid: number) => nvme.admin.run(abortion(cid)).result;
  const sendAdmin = (fields: { opcode: number; dwords: number[] }) => {
    const cid = nvme.admin.push(fields);
    nvme.admin.ring();
    return cid;
  };
  const restart = () => {
    nvme.bar0.write32(Register.CC, 0);
    waitFor("CSTS.RDY to clear", () => nvme.csts() === 0);
    nvme.enable();
    queue = nvme.createPair(nvme.queue(1, 16));
  };

  beforeEach(() => {
    bench = new Bench(machineWith({ namespaces: SMALL }));
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(1 << 16);
  });
  afterEach(() => {
    bench.close();
  });

  describe("Abort", () => {
    it("may hang itself, and is not carried out later", () => {
      inject({ on: "read", effect: "hang" });
      inject({ on: "abort", effect: "hang" });
      const cid = send(READ);
      const abort = sendAdmin(abortion(cid));
      assert.equal(nvme.identify(1).status, 0, "others pass it");
      assert.equal(queue.poll(), null);
      // Abort is a command as others are: this one ends the first, not the command that it was about.
      const second = sendAdmin({ opcode: ABORT, dwords: [abort << 16] });
      const ends = [nvme.admin.wait(), nvme.admin.wait()].map((end) => [end.cid, end.status]);
      assert.deepEqual(ends, [
        [second, 0],
        [abort, ABORTED],
      ]);
      nvme.identify(1);
      assert.equal(queue.poll(), null);
    });

    it("may claim to have been there and do nothing", () => {
      inject({ on: "read", effect: "hang" });
      inject({ on: "abort", effect: "drop-dma" });
      const cid = send(READ);
      assert.equal(abort(cid), 0);
      nvme.identify(1);
      assert.equal(queue.poll(), null);
    });

    it("ends a command that is late, which then never touches memory", () => {
      data.bytes.fill(0x55);
      inject({ on: "read", delay: LATE });
      const cid = send(READ);
      assert.equal(queue.run(FLUSH).status, 0);
      assert.equal(abort(cid), 0);
      assert.equal(queue.wait().status, ABORTED);
      const end = performance.now() + LATE + 40;
      while (performance.now() < end);
      nvme.identify(1);
      assert.ok(data.bytes.every((byte) => byte === 0x55));
      assert.equal(queue.poll(), null);
    });

    it("is taken so many times at once and no more", () => {
      inject({ on: "abort", count: ABORT_LIMIT, effect: "hang" });
      const { data: identity } = nvme.identify(1);
      assert.equal(identity.getUint8(258) + 1, ABORT_LIMIT);
      const [first = 0] = Array.from({ length: ABORT_LIMIT }, () => sendAdmin(abortion(77)));
      assert.equal(nvme.admin.run(abortion(77)).status, ABORT_LIMIT_EXCEEDED);
      assert.equal(nvme.admin.run({ opcode: ABORT, dwords: [first << 16] }).status, 0x103);
    });
  });

  describe("deletion of the queue", () => {
    it("may hang, and the command with it, until the controller is reset", () => {
      inject({ on: "read", effect: "hang" });
      inject({ on: "delete", effect: "hang", abort: false });
      send(READ);
      const deletion = sendAdmin({ opcode: DELETE_SQ, dwords: [1] });
      nvme.identify(1);
      assert.equal(queue.poll(), null);
      assert.equal(queue.run(FLUSH).status, 0, "the queue is still there");
      assert.equal(nvme.admin.run({ opcode: ABORT, dwords: [deletion << 16] }).result, 1);
      restart();
      assert.equal(queue.run(command(READ)).status, 0);
    });

    it("may fail for the submission queue, or for the completion queue alone", () => {
      inject({ on: "delete", after: 1, status: [0, 0x06] });
      const remove = (opcode: number) => nvme.admin.run({ opcode, dwords: [1] }).status;
      assert.deepEqual([remove(DELETE_SQ), remove(DELETE_CQ), remove(DELETE_CQ)], [0, 0x06, 0]);
      restart();
      inject({ on: "delete", status: [0, 0x06] });
      assert.deepEqual([remove(DELETE_SQ), remove(DELETE_SQ)], [0x06, 0]);
    });

    it("ends the commands of that queue alone", () => {
      const other = nvme.createPair(nvme.queue(2, 16));
      inject({ on: "read", count: 2, effect: "hang", abort: false });
      const cid = send(READ);
      const kept = other.push(command(READ));
      other.ring();
      other.run(FLUSH);
      queue.run(FLUSH);
      // The admin queue cannot be deleted, and a queue that is not there has no commands.
      for (const qid of [0, 9, 999])
        assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [qid] }).status, 0x4101);
      assert.equal(queue.poll(), null);
      assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [1] }).status, 0);
      const { cid: ended, status } = queue.wait();
      assert.deepEqual([ended, status], [cid, ABORTED_WITH_QUEUE]);
      assert.equal(other.poll(), null);
      assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [2] }).status, 0);
      assert.deepEqual([other.wait().cid, queue.poll()], [kept, null]);
    });

    it("takes late commands along, whose data then comes no more", () => {
      data.bytes.fill(0x55);
      inject({ on: "read", delay: LATE });
      send(READ);
      queue.run(FLUSH);
      for (const opcode of [DELETE_SQ, DELETE_CQ])
        assert.equal(nvme.admin.run({ opcode, dwords: [1] }).status, 0);
      assert.equal(queue.wait().status, ABORTED_WITH_QUEUE);
      const end = performance.now() + LATE + 40;
      while (performance.now() < end);
      nvme.identify(1);
      assert.ok(data.bytes.every((byte) => byte === 0x55));
    });
  });

  it("creation of a queue may fail or hang", () => {
    inject({ on: "create", status: [1, 0x08] });
    assert.equal(nvme.createCq(2, 8, data.iova).status, 0x108);
    inject({ on: "create", effect: "hang" });
    sendAdmin({ opcode: 0x05, dwords: [2 | (7 << 16), 1] });
    assert.equal(nvme.identify(1).status, 0);
    assert.equal(nvme.admin.poll(), null);
  });

  describe("a controller reset", () => {
    it("may be ignored: the controller stays ready and goes on, until the function is reset", () => {
      inject({ on: "now", effect: "no-disable" });
      inject({ on: "write", delay: LATE });
      data.bytes.fill(0x21);
      const late = send(WRITE);
      assert.equal(queue.run(FLUSH).status, 0);
      nvme.bar0.write32(Register.CC, 0);
      assert.equal(nvme.csts(), 1);
      assert.equal(nvme.bar0.read32(Register.CC), 0);
      assert.equal(queue.wait().cid, late, "it still reads host memory");
      nvme.device.reset();
      assert.equal(nvme.csts(), 0);
      nvme.enable();
      queue = nvme.createPair(nvme.queue(1, 16));
      data.bytes.fill(0);
      assert.equal(queue.run(command(READ)).status, 0);
      assert.equal(data.bytes[0], 0x21);
      restart(); // which works again
    });

    it("may be ignored from a certain command on, and in fatal status too", () => {
      inject({ on: "read", effect: "no-disable" });
      inject({ on: "flush", effect: "fatal" });
      send(READ);
      queue.push(FLUSH);
      queue.ring();
      waitFor("CSTS.CFS", () => nvme.csts() === 3);
      nvme.bar0.write32(Register.CC, 0);
      nvme.enableWithoutWaiting();
      assert.equal(nvme.csts(), 3);
      nvme.device.reset();
      assert.equal(nvme.csts(), 0);
    });
  });

  describe("a reset of the function", () => {
    it("may fail: then the device is as it was, but for bus mastering", () => {
      inject({ on: "now", effect: "no-reset" });
      data.bytes.fill(0x55);
      inject({ on: "read", delay: LATE });
      send(READ);
      queue.run(FLUSH);
      assert.throws(
        () => {
          nvme.device.reset();
        },
        { code: "IO", device: NVME0 },
      );
      assert.equal(nvme.csts() & 1, 1);
      waitFor("it to find that it cannot write", () => nvme.csts() === 3);
      assert.ok(data.bytes.every((byte) => byte === 0x55));
      restart();
      assert.equal(queue.run(command(READ)).status, 0);
      bench.native.clearFaults(NVME0);
      nvme.device.reset();
      assert.equal(nvme.csts(), 0);
    });

    it("may fail at close as well: whoever opens it next finds it running, without the bus", () => {
      inject({ on: "now", effect: "no-reset" });
      nvme.device.close();
      const device = bench.space.openDevice(NVME0);
      const registers = device.region(0);
      assert.equal(registers.read32(Register.CSTS) & 1, 1);
      assert.equal(device.region(7).read16(4), 0x0002);
      registers.write32(Register.CC, 0);
      assert.equal(registers.read32(Register.CSTS), 0);
      device.close();
    });

    it("may fail for a card", () => {
      const card = bench.device(CARD);
      inject({ on: "now", effect: "no-reset" }, CARD);
      assert.throws(
        () => {
          card.reset();
        },
        { code: "IO", device: CARD },
      );
      bench.native.clearFaults(CARD);
      card.reset();
    });
  });
});

describe("the fault bad-phase of the loopback machine", () => {
  let bench: Bench;
  let nvme: RawNvme;

  beforeEach(() => {
    bench = new Bench();
    nvme = bench.nvme(NVME0).enable();
  });
  afterEach(() => {
    bench.close();
  });

  it("shows the entry after a completion too early, with what was in it", () => {
    const queue = nvme.createPair(nvme.queue(1, 4));
    bench.native.inject(NVME0, { on: "flush", after: 4, effect: "bad-phase", count: 2 });
    const sent = [0, 1, 2, 3].map(() => queue.run(FLUSH).cid);
    const cid = queue.push(FLUSH);
    queue.ring();
    assert.equal(queue.wait().cid, cid);
    const stale = queue.wait();
    assert.deepEqual([stale.cid, stale.sqId], [sent[1], 1]);
    assert.equal(queue.poll(), null);
  });

  it("shows zeros in the first pass, and the right entry in its place once there is one", () => {
    const queue = nvme.createPair(nvme.queue(1, 8));
    bench.native.inject(NVME0, { on: "flush", effect: "bad-phase" });
    queue.run(FLUSH);
    const { cid, sqId, sqHead, status } = queue.wait();
    assert.deepEqual([cid, sqId, sqHead, status], [0, 0, 0, 0]);
    queue.head--; // back to where the controller is
    queue.push(FLUSH);
    queue.ring();
    waitFor("the real one", () => queue.cq.words[4 + 2] !== 0);
    assert.equal(queue.wait().sqId, 1);
  });

  it("leaves an entry alone that the host has not taken yet", () => {
    const queue = nvme.queue(1, 4);
    nvme.createCq(1, 2, queue.cq.iova);
    nvme.createSq(1, 4, queue.sq.iova, 1);
    bench.native.inject(NVME0, { on: "flush", effect: "bad-phase" });
    const cid = queue.push(FLUSH);
    queue.ring();
    assert.equal(queue.wait().cid, cid);
    assert.equal(queue.cq.words[4 + 3], 0);
  });
});
