import assert from "node:assert/strict";
import { Capabilities } from "#lib/nvme/registers.js";
import { CMBS, DEVICE, FakeBar } from "./fake-bar.js";

describe("Controller registers", () => {
  it("decode CAP", () => {
    const cap = new Capabilities(0x0f01_07ff, (1 << 5) | 2 | (1 << 16) | CMBS);
    assert.equal(cap.maxQueueEntries, 2048);
    assert.equal(cap.readyTimeout, 8000);
    assert.equal(cap.doorbellStride, 16);
    assert.equal(cap.hasNvmCommandSet, true);
    assert.equal(cap.minPageSize, 8192);
    assert.equal(cap.hasCmbControl, true);
    assert.equal(cap.hasPmr, false);
    assert.deepEqual([cap.sqDoorbell(0), cap.cqDoorbell(0)], [0, 16]);
    assert.deepEqual([cap.sqDoorbell(3), cap.cqDoorbell(3)], [96, 112]);
  });

  it("decode CAP of the deepest queues and the closest doorbells", () => {
    const cap = new Capabilities(0xffff, 1 << 24);
    assert.equal(cap.maxQueueEntries, 65536);
    assert.equal(cap.doorbellStride, 4);
    assert.equal(cap.hasNvmCommandSet, false);
    assert.equal(cap.hasPmr, true);
    assert.equal(cap.hasCmbControl, false);
  });

  it("that read all ones are those of a device that is gone", () => {
    const bar = new FakeBar();
    bar.values.set(0x1c, 0xffff_ffff);
    assert.throws(() => bar.registers.read(0x1c), { code: "DEVICE_GONE", device: DEVICE });
  });

  it("of 64 bits are written high half first", () => {
    const bar = new FakeBar();
    bar.registers.writeAddress(0x28, 0x12_8000_1000, 3);
    assert.deepEqual(bar.log, ["write 2c 12", "write 28 80001003"]);
  });
});
