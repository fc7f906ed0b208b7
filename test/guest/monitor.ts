/** Asks QEMU's monitor from inside the lab (scripts/lab/qmp.mjs has the other end). */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { env } from "node:process";

let requests = 0;

/** What the command returns; throws what QEMU says where it refuses. */
async function ask(execute: string, args: object): Promise<unknown> {
  const directory = join(env.P2PMEM_LAB_OUT ?? "", "qmp");
  mkdirSync(directory, { recursive: true });
  requests += 1;
  const path = join(directory, String(requests));
  writeFileSync(`${path}.new`, JSON.stringify({ execute, arguments: args }));
  renameSync(`${path}.new`, `${path}.request`);
  while (!existsSync(`${path}.reply`)) await delay(10);
  const reply = JSON.parse(readFileSync(`${path}.reply`, "utf8")) as {
    return?: unknown;
    error?: { desc: string };
  };
  rmSync(`${path}.reply`);
  if (reply.error !== undefined) throw new Error(`${execute}: ${reply.error.desc}`);
  return reply.return;
}

/** Asks for a device to be pulled; the guest then has to let it go. */
export async function unplug(id: string): Promise<void> {
  await ask("device_del", { id });
}

/** Returns once QEMU has done away with a device that was pulled. */
export async function untilUnplugged(id: string): Promise<void> {
  for (;;) {
    const devices = (await ask("qom-list", { path: "/machine/peripheral" })) as { name: string }[];
    if (!devices.some(({ name }) => name === id)) return;
    await delay(20);
  }
}

/** Plugs an NVMe controller with one namespace of zeros into a port. */
export async function plugNvme(id: string, port: string, bytes: number): Promise<void> {
  const drive = `${id}-zeros`;
  const disk = { driver: "null-co", "node-name": drive, size: bytes, "read-zeroes": true };
  await ask("blockdev-add", disk);
  // The older drive= property: a namespace of its own cannot be plugged.
  await ask("device_add", { driver: "nvme", id, serial: id, drive, bus: port, addr: "00.0" });
}
