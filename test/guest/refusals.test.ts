/**
 * What the kernel refuses, as a user sees it. Runs inside the lab only: it takes drivers and device
 * files away.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";

const { NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const CLI = new URL("../../dist/cli/main.js", import.meta.url).pathname;
const DEVICES = "/sys/bus/pci/devices";

function copyCommand(source = NVME1, provider = CARD): string[] {
  const command = ["copy", source, NVME2, "--via", "p2p", "--provider", provider];
  return [process.execPath, CLI, ...command, "--size", "8m", "--platform", "vfio", "--allow-write"];
}

/** Runs it and expects one line on stderr, with this code, and exit code 1. */
function refused(code: string, command: string[]): string {
  const [program = "", ...args] = command;
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.match(stderr, new RegExp(`${code}: `));
  assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  assert.equal(status, 1);
  return stderr;
}

function driverOf(address: string): string | null {
  const link = `${DEVICES}/${address}/driver`;
  return existsSync(link) ? basename(realpathSync(link)) : null;
}

function unbind(address: string): void {
  if (driverOf(address) !== null) writeFileSync(`${DEVICES}/${address}/driver/unbind`, address);
}

function bind(address: string, driver: string): void {
  unbind(address);
  writeFileSync(`${DEVICES}/${address}/driver_override`, driver);
  writeFileSync("/sys/bus/pci/drivers_probe", address);
}

describe("what the kernel refuses", () => {
  it("a device that is not there", () => {
    refused("UNKNOWN_DEVICE", copyCommand("0000:77:00.0"));
  });

  it("a device without a VFIO driver, with the commands that bind it", () => {
    unbind(NVME1);
    try {
      const line = refused("NOT_BOUND", copyCommand());
      assert.match(line, new RegExp(`vfio-pci > ${DEVICES}/${NVME1}/driver_override`));
    } finally {
      bind(NVME1, "vfio-pci");
    }
  });

  it("a group that another driver has a part in, which is named", () => {
    // The lab's pair: two functions of one device, hence one group.
    const isVendor = (name: string, vendor: string): boolean =>
      readFileSync(`${DEVICES}/${name}/vendor`, "utf8").trim() === vendor;
    const addresses = readdirSync(DEVICES);
    const mine = addresses.find((name) => isVendor(name, "0x1234"));
    assert.ok(mine, "the lab has an edu device");
    const other = `${mine.slice(0, -1)}${mine.endsWith("0") ? "1" : "0"}`;
    assert.ok(addresses.includes(other), "the edu device has a neighbour");
    bind(mine, "vfio-pci");
    const line = refused("GROUP_NOT_VIABLE", copyCommand(NVME1, `${mine}/bar0`));
    assert.match(line, new RegExp(`${other} \\(virtio-pci\\)`));
  });

  it("a user without permission for the group's file", () => {
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    assert.match(refused("PERMISSION", [...asNobody, ...copyCommand()]), /chown \S+ \/dev\/vfio/);
  });

  it("more pinned memory than RLIMIT_MEMLOCK allows", () => {
    const limited = ["prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock"];
    assert.match(refused("MEMLOCK", [...limited, ...copyCommand()]), /64 KiB.*ulimit -l/);
  });

  it("a machine without /dev/vfio", () => {
    renameSync("/dev/vfio", "/dev/vfio-away");
    try {
      assert.match(refused("NO_VFIO", copyCommand()), /modprobe vfio-pci/);
    } finally {
      renameSync("/dev/vfio-away", "/dev/vfio");
    }
  });
});
