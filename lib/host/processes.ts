import type { Condition } from "./condition.js";
import type { DeviceNumber, Host } from "./host.js";

/** Who has which device open, as `name (pid 12)`. */
export type OpenDevices = ReadonlyMap<DeviceNumber, readonly string[]>;

/**
 * By the device's number, since in a container its file may have any name (proc_pid_fd(5)). Only
 * root sees everybody's.
 */
export function openDevices(host: Host): OpenDevices {
  const users = new Map<DeviceNumber, string[]>();
  for (const pid of host.list("/proc").filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const folder = `/proc/${pid}/fd`;
    const numbers = host.list(folder).map((fd) => host.deviceNumber(`${folder}/${fd}`));
    for (const number of new Set(numbers)) {
      if (number === null) continue;
      const user = `${host.read(`/proc/${pid}/comm`) ?? "a process"} (pid ${pid})`;
      users.set(number, [...(users.get(number) ?? []), user]);
    }
  }
  return users;
}

/**
 * No program has any of them open; the keys are what they are called. Looked at once for all: there are
 * many files open on a machine.
 */
export function notOpen(
  devices: ReadonlyMap<string, DeviceNumber>,
  opened: OpenDevices,
): Condition {
  const lines = [...devices.values()].map((number) => `-e '${statLine(number)}'`);
  const violations = [...devices].flatMap(([name, number]) => {
    const users = opened.get(number);
    return users === undefined ? [] : [`${name} is open in ${users.join(", ")}`];
  });
  return {
    shell: `! find /proc/[0-9]*/fd -mindepth 1 -exec ${STAT} {} + 2>/dev/null | grep -q ${lines.join(" ")}`,
    violation: violations.length === 0 ? null : violations.join("; "),
  };
}

/** stat(1) with the mode and the numbers in hexadecimal, which are the same in every language. */
export const STAT = "stat -L -c '%f %t:%T'";

/** Matches what {@link STAT} prints of a device; the mode begins with the kind of file. */
export function statLine(number: DeviceNumber): string {
  const [major, minor] = number.slice(1).split(":").map(hexadecimal);
  return `^${number.startsWith("b") ? "6" : "2"}... ${major}:${minor}$`;
}

function hexadecimal(text: string): string {
  return Number(text).toString(16);
}
