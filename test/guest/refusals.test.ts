/** What the kernel refuses. Runs inside the lab only: it takes drivers and device files away. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";

const { NVME1 = "" } = process.env;
const ADDON = new URL("../../dist/addon.js", import.meta.url).href;
const DEVICES = "/sys/bus/pci/devices";

/** What opening a device and pinning 4 MiB for it is refused with. */
function refusal(address: string): P2pError {
  try {
    openAndMap(address);
  } catch (error) {
    assert.ok(error instanceof P2pError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: `${address} was not refused` });
}

function openAndMap(address: string): void {
  const space = addon().openVfioAddressSpace();
  const device = space.openDevice(address);
  const memory = addon().allocatePinned(2 ** 22, false);
  try {
    space.map(memory, 0, memory.size, 2n ** 21n, { read: true, write: true });
  } finally {
    device.close();
    space.close();
    memory.close();
  }
}

/** The same in a process that the words before it have put into a worse position. */
function refusalOf(...prefix: string[]): Record<string, unknown> {
  const script = `
    const { addon } = await import(${JSON.stringify(ADDON)});
    const openAndMap = ${openAndMap.toString()};
    try {
      openAndMap(${JSON.stringify(NVME1)});
    } catch (error) {
      console.log(JSON.stringify({ ...error, message: error.message }));
    }`;
  const [program = "", ...words] = prefix;
  const command = [...words, process.execPath, "--input-type=module", "--eval", script];
  const { stdout, stderr } = spawnSync(program, command, { encoding: "utf8" });
  assert.equal(stderr, "");
  return JSON.parse(stdout) as Record<string, unknown>;
}

function unbind(address: string): void {
  const driver = `${DEVICES}/${address}/driver`;
  if (existsSync(driver)) writeFileSync(`${driver}/unbind`, address);
}

function bind(address: string, driver: string): void {
  unbind(address);
  writeFileSync(`${DEVICES}/${address}/driver_override`, driver);
  writeFileSync("/sys/bus/pci/drivers_probe", address);
}

describe("what the kernel refuses", () => {
  it("nothing, of a device that it has given to VFIO", () => {
    openAndMap(NVME1);
  });

  it("a device that is not there", () => {
    assert.equal(refusal("0000:77:00.0").code, "UNKNOWN_DEVICE");
  });

  it("a device without a VFIO driver, with the commands that bind it", () => {
    unbind(NVME1);
    try {
      const { code, device, hint } = refusal(NVME1);
      assert.deepEqual([code, device], ["NOT_BOUND", NVME1]);
      // The hint is a command, and it is right.
      const [command = ""] = /npx p2pmem bind \S+/.exec(hint ?? "") ?? [];
      assert.equal(spawnSync("sh", ["-c", command]).status, 0);
      openAndMap(NVME1);
    } finally {
      bind(NVME1, "vfio-pci");
    }
  });

  it("a group that another driver has a part in, which is named", () => {
    // The lab's pair: two functions of one device, hence one group.
    const mine = readdirSync(DEVICES).find(
      (name) => readFileSync(`${DEVICES}/${name}/vendor`, "utf8").trim() === "0x1234",
    );
    assert.ok(mine, "the lab has an edu device");
    const other = mine.replace(/.$/, (fn) => (fn === "0" ? "1" : "0"));
    bind(mine, "vfio-pci");
    const { code, message } = refusal(mine);
    assert.equal(code, "GROUP_NOT_VIABLE");
    assert.match(message, new RegExp(`${other} \\(virtio-pci\\)`));
    // Without its neighbour's driver it works.
    unbind(other);
    openAndMap(mine);
  });

  it("a user without permission for the group's file", () => {
    const error = refusalOf("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups");
    assert.equal(error.code, "PERMISSION");
    assert.equal(error.errno, 13);
    assert.match(String(error.hint), /chown \S+ \/dev\/vfio\/\d+/);
  });

  it("more pinned memory than RLIMIT_MEMLOCK allows", () => {
    const error = refusalOf("prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock");
    assert.equal(error.code, "MEMLOCK");
    assert.equal(error.syscall, "ioctl(VFIO_IOMMU_MAP_DMA)");
    assert.match(String(error.hint), /64 KiB.*ulimit -l/);
  });

  it("a device that another process has", () => {
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(NVME1);
    assert.equal(refusalOf("env").code, "IN_USE");
    device.close();
    space.close();
  });

  it("a machine without /dev/vfio", () => {
    renameSync("/dev/vfio", "/dev/vfio-away");
    try {
      const { code, hint } = refusal(NVME1);
      assert.equal(code, "NO_VFIO");
      assert.match(hint ?? "", /modprobe vfio-pci/);
    } finally {
      renameSync("/dev/vfio-away", "/dev/vfio");
    }
  });
});
