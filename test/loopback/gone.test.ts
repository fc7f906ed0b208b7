import assert from "node:assert/strict";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "#lib/pci/spec.js";
import { Bench, CARD, NVME1, Register } from "../support/raw-nvme.js";

const CONFIG = 7;

/** What the loopback machine has of it: register accesses. Mapped memory is the lab's to show. */
describe("a loopback device whose memory decode is off", () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench();
  });

  afterEach(() => {
    bench.close();
  });

  it("reads as ones, and restore() says so; with memory decode on both are as before", () => {
    const device = bench.device(NVME1);
    const config = device.region(CONFIG);
    const registers = device.region(0);
    const version = registers.read32(Register.VS);
    const command = config.read16(PCI_COMMAND);
    config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    assert.equal(registers.read32(Register.VS), 0xffff_ffff);
    assert.throws(
      () => {
        device.restore();
      },
      { code: "DEVICE_GONE", device: NVME1, hint: /command register/ },
    );
    config.write16(PCI_COMMAND, command);
    device.restore();
    assert.equal(registers.read32(Register.VS), version);
  });

  it("has its memory all the same, which is the machine's", () => {
    const memory = bench.keep(bench.device(CARD).region(2).map(0, 4096));
    assert.equal(memory.isGone, false);
  });
});

describe("events of a loopback device", () => {
  it("have handlers, which may be replaced and taken away, until it is closed", () => {
    const bench = new Bench();
    const device = bench.device(CARD);
    const never = (): void => {
      assert.fail("nothing befalls a loopback device");
    };
    for (const handler of [never, never, null, null, never]) {
      device.onError(handler);
      device.onRequest(handler);
    }
    bench.close();
    for (const set of ["onError", "onRequest"] as const)
      assert.throws(
        () => {
          device[set](null);
        },
        { code: "CLOSED" },
      );
  });
});
