import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { DeviceNumber, Host } from "../host/host.js";
import { diskDevices } from "../host/kernel-devices.js";
import { diskConditions, diskOpenConditions } from "../host/uses.js";
import { wholeDisk } from "./disks.js";

/**
 * How long somebody may have a disk open before that counts as use, milliseconds. Once a disk that was
 * written is closed, udev looks at it, and starts programs that do; the next run comes right after.
 */
const PATIENCE_MS = 2000;
const LOOK_MS = 50;

/** That nobody uses a disk or what is on it, so that it may be written. Errors: IN_USE. */
export async function assertUnused(
  host: Host,
  file: string,
  number: DeviceNumber | null,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const disks = number === null ? [] : diskDevices(host, number);
  // Who has all of the disk open has the partition, too, without the kernel's knowing of it.
  const whole = number === null ? null : wholeDisk(host, number);
  const opened = whole === null ? disks : [...disks, whole];
  for (let waited = 0; ; waited += LOOK_MS) {
    const lasting = violations(diskConditions(host, disks));
    const open = lasting.length > 0 ? [] : violations(diskOpenConditions(host, opened));
    const [use] = [...lasting, ...open];
    if (use === undefined) return;
    if (lasting.length > 0 || waited >= patienceMs)
      throw new P2pError("IN_USE", `${file} is not written: ${use}`, {
        hint: "unmount it, and end what uses it",
      });
    await delay(LOOK_MS);
  }
}

function violations(conditions: readonly { violation: string | null }[]): string[] {
  return conditions.flatMap(({ violation }) => violation ?? []);
}
