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
  it("uses less than 5 % of a core while its controllers are enabled and idle", async () => {
    const bench = new Bench();
    const controllers = [bench.nvme(NVME0).enable(), bench.nvme(NVME2).enable()];
    for (const nvme of controllers) nvme.createPair(nvme.queue(1, 64));
    const before = deviceCpu();
    assert.ok(before > 0);
    await delay(1000);
    const used = deviceCpu() - before;
    assert.ok(used < 0.05 * SECOND, `${used / 1e6} ms of CPU in a second`);
    assert.equal(controllers[0]?.identify(1).status, 0, "and it wakes up");
    bench.close();
  });

  it("uses none while no controller is enabled, and is gone with its machine", async () => {
    const bench = new Bench();
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
