import type { BindingChange } from "../../host/change.js";
import type { UnbindChange } from "../../host/unbind.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";

/** What `bind` and `unbind` write. */
export interface BindingReport {
  version: string;
  /** True where nothing was changed. */
  dry_run: boolean;
  devices: readonly BindingChange[];
  /** The checks and changes, as shell commands. */
  commands: readonly string[];
}

export function bindingsJson(report: BindingReport): string {
  return stringify(report);
}

/** One row for each device. */
export function bindingsCsv({ devices }: BindingReport): string {
  return rows([
    ["address", "changed", "earlier_driver", "driver", "iommu_group", "file", "user"],
    ...devices.map((device) => [
      device.address,
      String(device.changed),
      device.earlier_driver,
      device.driver,
      device.iommu_group,
      device.file,
      device.user,
    ]),
  ]);
}

/** To be pasted as it is: each command only if the one before it succeeded. */
export function bindingsScript({ commands }: BindingReport): string {
  return commands.length === 0 ? "# nothing to do\n" : `${commands.join(" &&\n")}\n`;
}

export function bindLine({ address, ...device }: BindingChange): string {
  const how = device.changed
    ? `${device.earlier_driver ?? "no driver"} -> ${device.driver}`
    : `already bound to ${device.driver}`;
  const owner = device.user === null ? "" : `, owned by ${device.user}`;
  return `${address}: ${how}, IOMMU group ${device.iommu_group}, ${device.file}${owner}`;
}

export function unbindLine({ address, changed, recorded, ...device }: UnbindChange): string {
  const driver = device.driver ?? "no driver";
  if (!changed) return `${address}: not bound to VFIO, has ${driver}`;
  const choice = recorded ? "" : ", as the kernel chose: no earlier driver was recorded";
  return `${address}: ${device.earlier_driver ?? "no driver"} -> ${driver}${choice}`;
}
