import assert from "node:assert/strict";
import type { NativeFault } from "#lib/addon.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import {
  Bench,
  blocks,
  CARD,
  CFS,
  machineWith,
  NVME0,
  NVME1,
  READ,
  Register,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

const FLUSH = { opcode: 0, nsid: 1 };
const ABORT = 0x08;
const DELETE_SQ = 0x00;
const CREATE_SQ = 0x01;
const ASYNC_EVENT = 0x0c;
const SMALL = [{ size: 1 << 20, block: 512 as const, file: null }];
const GONE = 0xffff_ffff;

describe("faults of the loopback machine", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;

  const start = (faults: NativeFault[] = []) => {
    bench = new Bench(machineWith({ faults, namespaces: SMALL }));
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(1 << 16);
  };
  const inject = (fault: NativeFault, address = NVME0) => {
    bench.native.inject(address, fault);
  };
  const command = (opcode: number) => ({ opcode, nsid: 1, prp1: data.iova, dwords: blocks(0, 8) });
  const send = (opcode: number) => {
    const cid = queue.push(command(opcode));
    queue.ring();
    return cid;
  };
  const abort = (cid: number) =>
    nvme.admin.run({ opcode: ABORT, dwords: [queue.qid | (cid << 16)] }).result;

  beforeEach(() => {
    start();
  });
  afterEach(() => {
    bench.close();
  });

  it("strike the commands that are named, after some, and no more than so many", () => {
    inject({ on: "read", after: 1, count: 2, status: [2, 0x81] });
    assert.equal(queue.run(command(WRITE)).status, 0);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => queue.run(command(READ)).status),
      [0, 0x281, 0x281, 0],
    );
  });

  for (const [on, run] of [
    ["flush", () => queue.run(FLUSH)],
    ["write", () => queue.run(command(WRITE))],
    ["compare", () => queue.run(command(0x05))],
    ["io", () => queue.run(FLUSH)],
    ["any", () => queue.run(FLUSH)],
    ["identify", () => nvme.identify(1)],
    ["admin", () => nvme.admin.run({ opcode: 0x0a, dwords: [7] })],
  ] as const)
    it(`can be about ${on}`, () => {
      inject({ on, status: [1, 0x23], dnr: true });
      assert.equal(run().status, 0x4123);
      assert.equal(run().status, 0);
    });

  it("come from the machine's configuration as well, and can be taken back", () => {
    bench.close();
    start([{ on: "read", count: 5, status: [0, 0x06] }]);
    assert.equal(queue.run(command(READ)).status, 0x06);
    bench.native.clearFaults(NVME0);
    assert.equal(queue.run(command(READ)).status, 0);
  });

  it("log the status that they give", () => {
    inject({ on: "read", status: [2, 0x81] });
    queue.run(command(READ));
    nvme.admin.run({ opcode: 0x02, prp1: nvme.scratch.iova, dwords: [0x01 | (15 << 16)] });
    assert.equal(new DataView(nvme.scratch.memory.buffer).getUint16(12, true) >> 1, 0x281);
  });

  describe("a command that hangs", () => {
    beforeEach(() => {
      inject({ on: "read", effect: "hang" });
    });

    it("is overtaken by others, and ends when it is aborted", () => {
      const cid = send(READ);
      assert.equal(queue.run(FLUSH).status, 0);
      assert.equal(queue.poll(), null);
      assert.equal(abort(cid), 0);
      const { cid: ended, status } = queue.wait();
      assert.deepEqual([ended, status], [cid, 0x07]); // Command Abort Requested
      assert.equal(abort(cid), 1, "it is not there any more");
    });

    it("ends when its submission queue is deleted, before that has succeeded", () => {
      const cid = send(READ);
      queue.run(FLUSH);
      assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [1] }).status, 0);
      const completion = queue.poll();
      assert.deepEqual([completion?.cid, completion?.status], [cid, 0x08]);
    });

    it("is forgotten by a controller reset", () => {
      const cid = send(READ);
      queue.run(FLUSH);
      nvme.bar0.write32(Register.CC, 0);
      nvme.enable();
      queue = nvme.createPair(nvme.queue(1, 16));
      assert.equal(abort(cid), 1);
      assert.equal(queue.run(command(READ)).status, 0);
    });

    it("is not written to memory, nor read from it, once it was aborted", () => {
      data.bytes.fill(0x55);
      const cid = send(READ);
      queue.run(FLUSH);
      abort(cid);
      queue.wait();
      assert.ok(data.bytes.every((byte) => byte === 0x55));
    });
  });

  it("may hang a command so that Abort does not help", () => {
    inject({ on: "read", effect: "hang", abort: false });
    const cid = send(READ);
    queue.run(FLUSH);
    assert.equal(abort(cid), 1);
    nvme.admin.run({ opcode: DELETE_SQ, dwords: [1] });
    assert.equal(queue.wait().status, 0x08);
  });

  it("may hang admin commands", () => {
    inject({ on: "identify", effect: "hang" });
    const cid = nvme.admin.push({ opcode: 0x06, prp1: nvme.scratch.iova, dwords: [1] });
    const other = nvme.admin.push({ opcode: ABORT, dwords: [cid << 16] });
    nvme.admin.ring();
    const [abortion, identify] = [nvme.admin.wait(), nvme.admin.wait()];
    assert.deepEqual([abortion.cid, abortion.result], [other, 0]);
    assert.deepEqual([identify.cid, identify.status], [cid, 0x07]);
  });

  it("hold a command up, let others pass it, and carry it out later", () => {
    // Long enough for the other command, on a busy machine as well.
    inject({ on: "write", delay: 200 });
    data.bytes.fill(0x21);
    const started = performance.now();
    const cid = send(WRITE);
    assert.equal(queue.run(FLUSH).status, 0);
    const late = queue.wait();
    assert.ok(performance.now() - started >= 200, "it takes at least that long");
    assert.deepEqual([late.cid, late.status], [cid, 0]);
    queue.acknowledge();
    data.bytes.fill(0);
    queue.run(command(READ));
    assert.equal(data.bytes[0], 0x21);
  });

  it("hold up a deletion and the command that it is about, without losing either", () => {
    inject({ on: "admin", delay: 1 });
    inject({ on: "read", delay: 1 });
    const cid = send(READ);
    assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [1] }).status, 0);
    const completion = queue.poll();
    assert.equal(completion?.cid ?? cid, cid);
    assert.equal(nvme.admin.run({ opcode: 0x04, dwords: [1] }).status, 0);
  });

  it("drop a command's transfer and call it a success", () => {
    data.bytes.fill(0x31);
    queue.run(command(WRITE));
    inject({ on: "write", effect: "drop-dma" });
    inject({ on: "read", after: 1, effect: "drop-dma" });
    data.bytes.fill(0x32);
    assert.equal(queue.run(command(WRITE)).status, 0);
    assert.equal(queue.run(command(READ)).status, 0);
    assert.equal(data.bytes[0], 0x31, "nothing was written");
    data.bytes.fill(0x33);
    assert.equal(queue.run(command(READ)).status, 0);
    assert.equal(data.bytes[0], 0x33, "nothing was read");
  });

  it("complete a command under a name that no command has", () => {
    inject({ on: "read", effect: "wrong-cid" });
    const cid = send(READ);
    assert.equal(queue.wait().cid, cid ^ 0x8000);
  });

  it("complete a command twice", () => {
    inject({ on: "read", effect: "duplicate" });
    const cid = send(READ);
    assert.deepEqual([queue.wait().cid, queue.wait().cid], [cid, cid]);
    queue.acknowledge();
    assert.equal(queue.run(FLUSH).status, 0);
  });

  it("report a submission queue head that is past the queue's end", () => {
    inject({ on: "read", effect: "bad-sq-head" });
    send(READ);
    assert.equal(queue.wait().sqHead, 0xffff);
    assert.equal(queue.run(FLUSH).sqHead, 2);
  });

  it("send the controller into fatal status, out of which a reset brings it", () => {
    inject({ on: "read", effect: "fatal" });
    send(READ);
    waitFor("CSTS.CFS", () => (nvme.csts() & CFS) !== 0);
    queue.push(FLUSH);
    queue.ring();
    inject({ on: "now", effect: "fatal" });
    assert.equal(queue.poll(), null);
    nvme.bar0.write32(Register.CC, 0);
    assert.equal(nvme.csts(), 0);
    nvme.enable();
    assert.equal(nvme.createPair(nvme.queue(1, 16)).run(command(READ)).status, 0);
  });

  it("raise an asynchronous event, if the host has enabled that one", () => {
    const health = [1, 1, 2]; // SMART / health, temperature, log page 02h
    nvme.admin.push({ opcode: ASYNC_EVENT });
    nvme.admin.ring();
    inject({ on: "now", event: health });
    nvme.identify(1);
    nvme.admin.run({ opcode: 0x09, dwords: [0x0b, 0x02] });
    inject({ on: "flush", event: health });
    assert.equal(queue.run(FLUSH).status, 0);
    const { status, result } = nvme.admin.wait();
    assert.deepEqual([status, result], [0, 0x02_01_01]);
    assert.equal(nvme.admin.poll(), null, "the first one was not for this host");
  });

  describe("surprise removal", () => {
    let cmb: HostMemory;

    beforeEach(() => {
      cmb = bench.peer(NVME0);
      inject({ on: "read", effect: "remove" });
      send(READ);
      waitFor("its registers to be gone", () => nvme.csts() === GONE);
    });

    it("makes registers and configuration space read ones, and takes it out of the topology", () => {
      assert.equal(nvme.device.region(7).read16(0), 0xffff);
      nvme.device.region(7).write16(4, 6);
      nvme.bar0.write32(Register.CC, 0);
      assert.equal(nvme.csts(), GONE);
      assert.ok(!bench.native.functions().some((fn) => fn.address === NVME0));
      assert.throws(
        () => {
          nvme.device.reset();
        },
        { code: "IO", device: NVME0 },
      );
    });

    it("stops its DMA, and nothing comes back when it is opened again", () => {
      queue.push(command(READ));
      queue.ring();
      inject({ on: "now", effect: "vanish" }, CARD); // a round of the device thread has passed
      assert.equal(queue.poll(), null);
      nvme.device.close();
      assert.throws(() => bench.space.openDevice(NVME0), { code: "UNKNOWN_DEVICE" });
      assert.throws(
        () => {
          inject({ effect: "hang" });
        },
        { code: "UNKNOWN_DEVICE" },
      );
    });

    it("takes its memory away from its peers", () => {
      const other = bench.nvme(NVME1).enable();
      const pair = other.createPair(other.queue(1, 4));
      cmb.bytes.fill(0x77, 0, 4096);
      assert.equal(pair.run({ ...command(READ), prp1: cmb.iova }).status, 0);
      assert.equal(cmb.bytes[0], 0x77);
      assert.ok(bench.space.takeFaults()?.length, "the IOMMU has seen it");
    });
  });

  it("switch memory decode off, until the host switches it on and starts anew", () => {
    inject({ on: "read", effect: "vanish" });
    send(READ);
    waitFor("its registers to be gone", () => nvme.csts() === GONE);
    const config = nvme.device.region(7);
    assert.equal(config.read16(4), 0x0004);
    config.write16(4, 0x0006);
    assert.equal(nvme.csts(), GONE);
    nvme.device.restore();
    assert.equal(nvme.csts(), 1);
    nvme.bar0.write32(Register.CC, 0);
    nvme.enable();
    assert.equal(nvme.createPair(nvme.queue(1, 16)).run(command(READ)).status, 0);
  });

  it("take away a card", () => {
    const card = bench.device(CARD).region(2);
    inject({ on: "now", effect: "remove" }, CARD);
    assert.equal(card.read32(0), GONE);
  });

  it("are refused where they make no sense", () => {
    for (const [address, fault, code] of [
      ["0000:09:00.0", { effect: "hang" }, "UNKNOWN_DEVICE"],
      [CARD, { effect: "remove" }, "BAD_MACHINE"],
      [CARD, { on: "now", effect: "hang" }, "BAD_MACHINE"],
      [NVME0, { on: "now", effect: "hang" }, "BAD_MACHINE"],
      [NVME0, {}, "BAD_MACHINE"],
      [NVME0, { effect: "hang", delay: 1 }, "BAD_MACHINE"],
      [NVME0, { status: [8, 0] }, "BAD_MACHINE"],
      [NVME0, { status: [1] }, "BAD_MACHINE"],
      [NVME0, { event: [1, 256, 0] }, "BAD_MACHINE"],
      [NVME0, { on: "sometimes", effect: "hang" }, "BAD_MACHINE"],
      [NVME0, { effect: "explode" }, "BAD_MACHINE"],
    ] as const)
      assert.throws(
        () => {
          inject(fault as unknown as NativeFault, address);
        },
        { code },
        JSON.stringify(fault),
      );
  });

  it("keep a queue from being created while a command says that it was", () => {
    inject({ on: "admin", effect: "drop-dma" });
    const claim = { opcode: CREATE_SQ, prp1: data.iova, dwords: [2 | (7 << 16), 1 | (1 << 16)] };
    assert.equal(nvme.admin.run(claim).status, 0);
    assert.equal(nvme.admin.run({ opcode: DELETE_SQ, dwords: [2] }).status, 0x4101);
  });
});
