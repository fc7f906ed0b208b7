import type { Bdf } from "../pci/bdf.js";
import type { Condition } from "./condition.js";
import type { Host } from "./host.js";
import { notOpen, type OpenDevices } from "./processes.js";
import { currentDriver } from "./steps.js";

/**
 * The nvidia driver's device files are not below its function in sysfs, and it waits for their last
 * close when it is unbound, without end.
 */
export function nvidiaConditions(host: Host, address: Bdf, opened: OpenDevices): Condition[] {
  if (currentDriver(host, address) !== "nvidia") return [];
  const information = `/proc/driver/nvidia/gpus/${address}/information`;
  const minor = /^Device Minor:\s*(\d+)/m.exec(host.read(information) ?? "")?.[1];
  const file = minor === undefined ? null : `/dev/nvidia${minor}`;
  const number = file === null ? null : host.deviceNumber(file);
  if (file !== null && number !== null) return [notOpen(new Map([[file, number]]), opened)];
  const missing = file ?? information;
  return [
    {
      shell: `[ -e ${missing} ]`,
      violation: `whether the nvidia driver's file of it is open cannot be seen (no ${missing})`,
    },
  ];
}
