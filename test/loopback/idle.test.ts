import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Bench, NVME0, NVME2, Register } from "../support/raw-nvme.js";

const SECOND = 1_000_000_000;

/** Nanoseconds of CPU that the threads of all loopback machines in this process have used. */
function deviceCpu(): number {
  const tasks = "/proc/self/task";
  return readdirSync(tasks)
    .filter((id) => readFileSync(`${tasks}/${id}/comm`, "utf8").trim() === "p2pmem-devices")
    .reduce(
      (sum, id) => sum + Number(readFileSync(`${tasks}/${id}/schedstat`, "utf8").split(" ")[0]),
      0,
    );
}

describe("the loopback machine's thread", () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench();
  });

  afterEach(() => {
    bench.close();
  });

  it("uses less than 5 % of a core while its controllers are enabled and idle", async () => {
    const controllers = [bench.nvme(NVME0).enable(), bench.nvme(NVME2).enable()];
    for (const nvme of controllers) nvme.createPair(nvme.queue(1, 64));
    assert.ok(deviceCpu() > 0);
    // The least of several: what others do on this machine can only add to it.
    let least = Infinity;
    for (let window = 0; window < 6 && least >= 0.05 * SECOND; window++) {
      const before = deviceCpu();
      await delay(1000);
      least = Math.min(least, deviceCpu() - before);
    }
    assert.ok(least < 0.05 * SECOND, `${least / 1e6} ms of CPU in a second`);
    assert.equal(controllers[0]?.identify(1).status, 0, "and it wakes up");
  });

  it("uses none while no controller is enabled, and is gone with its machine", async () => {
    const nvme = bench.nvme(NVME0).enable();
    nvme.bar0.write32(Register.CC, 0);
    // A thread that went on polling, even once in a millisecond, would never let this end.
    for (let before = -1; before !== deviceCpu();) {
      before = deviceCpu();
      await delay(20);
    }
    bench.close();
    assert.equal(deviceCpu(), 0);
  });
});
