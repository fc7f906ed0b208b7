/** MSI-X (PCI 3.0 §6.8.2) and interrupt coalescing (NVMe 1.4 §5.21.1.8) of the loopback machine. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { CONFIG_REGION } from "#lib/addon.js";
import { Bench, NVME0 } from "../support/raw-nvme.js";
import type { RawNvme, RawQueue } from "../support/raw-nvme.js";

const FLUSH = { opcode: 0, nsid: 1 };
const SET_FEATURES = 0x09;
const GET_FEATURES = 0x0a;
const COALESCING = 0x08;
const VECTOR_CONFIGURATION = 0x09;
const COALESCING_DISABLE = 1 << 16;
const VECTOR = 5;
const MSIX_CAPABILITY = 0x80;
const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;
const INTERRUPT_BYTES = 4;
const COMPLETION_BYTES = 16;

describe("MSI-X of the loopback NVMe controller", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let table: number;
  let pending: number;
  /** By vector. */
  let seen: Map<number, number>;

  const listen = (vector: number) => {
    nvme.device.onInterrupt(vector, (count) => seen.set(vector, (seen.get(vector) ?? 0) + count));
  };
  const createPair = (qid: number, vector: number) => {
    const pair = nvme.queue(qid, 64);
    nvme.createCq(qid, 64, pair.cq.iova, 1 | 2 | (vector << 16));
    nvme.createSq(qid, 64, pair.sq.iova, qid);
    return pair;
  };
  const control = (vector = VECTOR) => table + 16 * vector + 12;
  const mask = (on: boolean) => {
    nvme.bar0.write32(control(), on ? 1 : 0);
  };
  const isPending = (vector = VECTOR) =>
    ((nvme.bar0.read32(pending + 4 * (vector >> 5)) >>> (vector & 31)) & 1) === 1;
  const maskFunction = (on: boolean) => {
    nvme.device.region(CONFIG_REGION).write16(MSIX_CAPABILITY + 2, on ? FUNCTION_MASK : 0);
  };
  /** Those on its vector, once the controller has moved on and the event loop has turned. */
  const interrupts = async (vector = VECTOR) => {
    nvme.identify(1);
    // The thread that waits for eventfds has to be heard, too: one more of them tells that it was.
    seen.delete(VECTOR + 1);
    for (const before = seen.get(VECTOR + 1); seen.get(VECTOR + 1) === before;) {
      marker.run(FLUSH);
      await turn();
    }
    return seen.get(vector) ?? 0;
  };
  let marker: RawQueue;

  beforeEach(() => {
    bench = new Bench();
    nvme = bench.nvme(NVME0).enable();
    seen = new Map();
    const config = nvme.device.region(CONFIG_REGION);
    table = config.read32(MSIX_CAPABILITY + 4) & ~7;
    pending = config.read32(MSIX_CAPABILITY + 8) & ~7;
    listen(VECTOR);
    listen(VECTOR + 1);
    queue = createPair(1, VECTOR);
    marker = createPair(2, VECTOR + 1);
  });
  afterEach(() => {
    bench.close();
  });

  it("has a table in BAR 0, in which the vectors that somebody listens to are not masked", () => {
    const word = (vector: number, at: number) => nvme.bar0.read32(table + 16 * vector + at);
    assert.equal(word(VECTOR, 12), 0);
    assert.equal(word(VECTOR, 0), 0xfee0_0000);
    assert.equal(word(VECTOR - 1, 12), 1);
    nvme.device.onInterrupt(VECTOR, null);
    assert.equal(word(VECTOR, 12), 1);
    assert.equal(nvme.bar0.mappable.length, 1, "nobody may map it");
    const { offset, length } = nvme.bar0.mappable[0]!;
    assert.ok(table >= offset + length && pending >= offset + length);
  });

  it("holds an interrupt back while its vector is masked, and sends it then, once", async () => {
    mask(true);
    for (let i = 0; i < 3; i++) queue.run(FLUSH);
    assert.equal(await interrupts(), 0);
    assert.equal(isPending(), true);
    assert.equal(isPending(VECTOR + 1), false);
    nvme.bar0.write32(pending, 0xffff_ffff); // read-only
    assert.equal(isPending(VECTOR + 1), false);
    mask(false);
    assert.equal(isPending(), false);
    assert.equal(await interrupts(), 1);
    mask(true);
    mask(false);
    assert.equal(await interrupts(), 1);
  });

  it("holds all back while the function is masked", async () => {
    maskFunction(true);
    const config = nvme.device.region(CONFIG_REGION);
    assert.equal(config.read16(MSIX_CAPABILITY + 2) & 0xf800, ENABLE | FUNCTION_MASK);
    queue.run(FLUSH);
    nvme.identify(1);
    assert.equal(isPending(), true);
    mask(true);
    maskFunction(false);
    assert.equal(await interrupts(), 0, "its vector is masked as well");
    mask(false);
    assert.equal(await interrupts(), 1);
  });

  it("sends what came while nobody listened when somebody does", async () => {
    nvme.device.onInterrupt(VECTOR, null);
    queue.run(FLUSH);
    assert.equal(await interrupts(), 0);
    assert.equal(isPending(), true);
    listen(VECTOR);
    assert.equal(await interrupts(), 1);
  });

  it("sends none where nobody listens to any", () => {
    nvme.device.onInterrupt(VECTOR, null);
    nvme.device.onInterrupt(VECTOR + 1, null);
    assert.equal(
      nvme.device.region(CONFIG_REGION).read16(MSIX_CAPABILITY + 2) & ENABLE,
      0,
      "MSI-X is off",
    );
    queue.run(FLUSH);
    nvme.identify(1);
    assert.equal(isPending(), false);
  });

  it("is set up again after a reset of the function, with nothing pending", async () => {
    mask(true);
    maskFunction(true);
    queue.run(FLUSH);
    nvme.device.reset();
    nvme.enable();
    assert.deepEqual([isPending(), nvme.bar0.read32(control())], [false, 0]);
    queue = createPair(1, VECTOR);
    marker = createPair(2, VECTOR + 1);
    queue.run(FLUSH);
    assert.equal(await interrupts(), 1);
  });

  describe("with interrupt coalescing", () => {
    const setFeature = (id: number, value: number) =>
      nvme.admin.run({ opcode: SET_FEATURES, dwords: [id, value] }).status;
    /** `time` in steps of 100 us. */
    const coalesce = (entries: number, time: number) => {
      assert.equal(setFeature(COALESCING, (entries - 1) | (time << 8)), 0);
      setFeature(VECTOR_CONFIGURATION, (VECTOR + 1) | COALESCING_DISABLE);
    };
    const LONG = 255; // 25.5 ms
    const sleep = async (milliseconds: number) => {
      const end = performance.now() + milliseconds;
      while (performance.now() < end) await turn();
    };
    /** Does it again where it took so long that the time may have run out meanwhile. */
    const quickly = async (work: () => void) => {
      for (;;) {
        const start = performance.now();
        work();
        if (performance.now() - start < 20) return;
        await sleep(30);
        await interrupts();
        seen.clear();
      }
    };

    it("sends one interrupt for as many completions as the threshold says", async () => {
      coalesce(4, LONG);
      const { result } = nvme.admin.run({ opcode: GET_FEATURES, dwords: [COALESCING] });
      assert.equal(result, 3 | (LONG << 8));
      await quickly(() => {
        bench.native.resetTraffic();
        for (let i = 0; i < 12; i++) queue.run(FLUSH);
      });
      // The completions as they are counted, and three interrupts.
      const bytes = bench.native.traffic().hostControlBytes - 12 * (64 + COMPLETION_BYTES);
      assert.equal(bytes, 3 * INTERRUPT_BYTES);
      assert.equal(await interrupts(), 3);
    });

    it("waits no longer for them than the time says, and not much less", async () => {
      coalesce(4, 200);
      const start = performance.now();
      queue.run(FLUSH);
      while (!seen.has(VECTOR)) await turn();
      assert.ok(performance.now() - start >= 20);
      assert.equal(seen.get(VECTOR), 1);
      assert.equal(await interrupts(), 1);
    });

    it("sends each at once where the threshold is one, or the time 0", async () => {
      for (const [entries, time] of [
        [1, LONG],
        [4, 0],
      ] as const) {
        coalesce(entries, time);
        seen.clear();
        queue.run(FLUSH);
        assert.equal(await interrupts(), 1);
      }
    });

    it("leaves vectors alone that are configured so, and the admin queue", async () => {
      coalesce(4, LONG);
      assert.equal(setFeature(VECTOR_CONFIGURATION, VECTOR | COALESCING_DISABLE), 0);
      queue.run(FLUSH);
      assert.equal(await interrupts(), 1);
      listen(0);
      await interrupts(); // which identifies
      assert.ok(seen.get(0)! >= 1);
    });

    it("counts by vector, for all queues on it", async () => {
      coalesce(4, LONG);
      const other = createPair(3, VECTOR);
      await quickly(() => {
        for (const each of [queue, other, queue, other]) each.run(FLUSH);
      });
      assert.equal(await interrupts(), 1);
    });

    it("sends nothing of what was waiting when the controller is reset", async () => {
      coalesce(4, LONG);
      await quickly(() => {
        queue.run(FLUSH);
        nvme.bar0.write32(0x14, 0);
        nvme.enable();
        queue = createPair(1, VECTOR);
        marker = createPair(2, VECTOR + 1);
        coalesce(4, LONG);
      });
      await sleep(30);
      assert.equal(await interrupts(), 0);
    });
  });
});
