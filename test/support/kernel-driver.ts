/** NVMe controllers in the hands of the kernel's own driver, inside the lab. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const DEVICES = "/sys/bus/pci/devices";

/** Gives the controller to the nvme driver, and waits for the block device of its first namespace. */
export async function giveToKernel(address: string): Promise<string> {
  spawnSync("modprobe", ["nvme"], { stdio: "inherit" });
  bind(address, "");
  return blockDeviceOf(address);
}

/** Back to vfio-pci, as the lab's other tests have it. */
export function takeFromKernel(address: string): void {
  bind(address, "vfio-pci");
}

function bind(address: string, driver: string): void {
  const device = `${DEVICES}/${address}`;
  writeFileSync(`${device}/driver_override`, `${driver}\n`);
  if (existsSync(`${device}/driver`)) writeFileSync(`${device}/driver/unbind`, address);
  writeFileSync("/sys/bus/pci/drivers_probe", address);
}

async function blockDeviceOf(address: string): Promise<string> {
  const folder = `${DEVICES}/${address}/nvme`;
  for (;;) {
    const [controller] = existsSync(folder) ? readdirSync(folder) : [];
    const entries = controller === undefined ? [] : readdirSync(`${folder}/${controller}`);
    const name = entries.find((entry) => /^nvme\d+n1$/.test(entry));
    if (name !== undefined && existsSync(`/dev/${name}`)) return `/dev/${name}`;
    await delay(10);
  }
}
