/**
 * What the kernel does when devices vanish (for the rest see test/device/vanish.test.ts). Inside the
 * lab only: it takes the kernel's VFIO.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { addon } from "#lib/addon.js";

const { NVME1 = "", CARD = "" } = process.env;
const LIBRARY = fileURLToPath(new URL("../../build/Release/p2pmem.node", import.meta.url));
const ADDON = new URL("../../dist/addon.js", import.meta.url).href;
const DRIVERS = "/sys/bus/pci/drivers";

const MIB = 2 ** 20;
const CARD_MEMORY = 2;

describe("SIGBUS that is not a BAR's", () => {
  /** A process that has mapped a BAR, hence has the handler, and then does `then`. */
  function run(then: string, before = ""): { signal: string | null; stdout: string } {
    const script = `
      import { copyFileSync, truncateSync } from "node:fs";
      const { addon } = await import(${JSON.stringify(ADDON)});
      ${before}
      const space = addon().openVfioAddressSpace();
      const memory = space.openDevice(${JSON.stringify(CARD)}).region(2).map(0, 4096);
      ${then}`;
    const args = ["--input-type=module", "--eval", script];
    const { signal, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    return { signal, stdout };
  }

  it("by an access ends the process as ever", () => {
    // A library whose file becomes shorter while it is used.
    const { signal, stdout } = run(`
      const copy = "/tmp/truncated.node";
      copyFileSync(${JSON.stringify(LIBRARY)}, copy);
      const library = { exports: {} };
      process.dlopen(library, copy);
      console.log(typeof library.exports.threadCpuTime());
      truncateSync(copy, 0);
      library.exports.threadCpuTime();
      console.log("alive");`);
    assert.deepEqual([signal, stdout], ["SIGBUS", "object\n"]);
  });

  it("sent by a process ends this one as ever", () => {
    const { signal } = run(`process.kill(process.pid, "SIGBUS"); setInterval(() => {}, 1000);`);
    assert.equal(signal, "SIGBUS");
  });

  it("goes to a handler that was there before", () => {
    const { signal, stdout } = run(
      `process.kill(process.pid, "SIGBUS"); setInterval(() => {}, 1000);`,
      `process.on("SIGBUS", () => { console.log("handled"); process.exit(0); });`,
    );
    assert.deepEqual([signal, stdout], [null, "handled\n"]);
  });
});

describe("what the kernel tells of a device", () => {
  it("asks for it back when it is unbound, and gets it once everything is closed", async () => {
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(CARD);
    const memory = device.region(CARD_MEMORY).map(0, MIB);
    const requested = new Promise<void>((resolve) => {
      device.onRequest(resolve);
    });
    const child = spawn("sh", ["-c", `echo ${CARD} > ${DRIVERS}/vfio-pci/unbind`]);
    const unbound = once(child, "exit");
    await requested;
    assert.equal(child.exitCode, null, "the kernel waits for us");
    for (const resource of [memory, device, space]) resource.close();
    assert.deepEqual(await unbound, [0, null]);
    assert.ok(!existsSync(`${DRIVERS}/vfio-pci/${CARD}`));
    writeFileSync("/sys/bus/pci/drivers_probe", CARD);
    assert.ok(existsSync(`${DRIVERS}/vfio-pci/${CARD}`));
  });

  it("announces an uncorrectable error on the device's link", async function () {
    // Not every kernel has the module.
    if (spawnSync("/sbin/modprobe", ["aer_inject"]).status !== 0) this.skip();
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(NVME1);
    device.onError(() => {
      assert.fail("this handler was replaced");
    });
    const announced = new Promise<void>((resolve) => {
      device.onError(resolve);
    });
    const alive = setInterval(() => undefined, 1000); // a handler alone does not keep the process
    injectCompletionTimeout(portAbove(NVME1));
    await announced;
    clearInterval(alive);
    device.close();
    assert.throws(
      () => {
        device.onError(null);
      },
      { code: "CLOSED" },
    );
    space.close();
  });
});

/** The bridge that a device hangs from. */
function portAbove(address: string): string {
  return basename(dirname(realpathSync(`/sys/bus/pci/devices/${address}`)));
}

/** struct aer_error_inj of drivers/pci/pcie/aer_inject.c; the error: PCIe 6.0 §7.8.4.2, bit 14. */
function injectCompletionTimeout(address: string): void {
  const [domain = 0, bus = 0, device = 0, fn = 0] = address
    .split(/[:.]/)
    .map((text) => parseInt(text, 16));
  const error = new DataView(new ArrayBuffer(32));
  for (const [at, value] of [bus, device, fn].entries()) error.setUint8(at, value);
  error.setUint32(4, 1 << 14, true);
  error.setUint32(28, domain, true);
  writeFileSync("/dev/aer_inject", error);
}
