import type { Bdf } from "../pci/bdf.js";
import { type Host, pciPath } from "./host.js";

/** What a device had before `bind`; null for none. */
export interface EarlierBinding {
  driver: string | null;
  driver_override: string | null;
}

interface BindingRecord extends EarlierBinding {
  /** Of the device: after a hot-plug, another may have its address. */
  id: string;
}

/** On a tmpfs: like a binding itself, it survives the process, and not a reboot. */
export function recordPath(address: Bdf): string {
  return `/run/p2pmem/bindings/${address}`;
}

/** What the record of a device holds. */
export function recordText(host: Host, address: Bdf, earlier: EarlierBinding): string {
  const record: BindingRecord = { id: deviceId(host, address), ...earlier };
  return JSON.stringify(record);
}

/** null where `bind` has left none of this device, or none that can be read. */
export function readRecord(host: Host, address: Bdf): EarlierBinding | null {
  try {
    const record: unknown = JSON.parse(host.read(recordPath(address)) ?? "null");
    if (!isRecord(record)) return null;
    const { id, driver, driver_override } = record;
    return id === deviceId(host, address) ? { driver, driver_override } : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is BindingRecord {
  if (typeof value !== "object" || value === null) return false;
  const { id, driver, driver_override } = value as Record<keyof BindingRecord, unknown>;
  const isNameOrNone = (name: unknown) => name === null || typeof name === "string";
  return typeof id === "string" && isNameOrNone(driver) && isNameOrNone(driver_override);
}

function deviceId(host: Host, address: Bdf): string {
  return ["vendor", "device", "subsystem_vendor", "subsystem_device"]
    .flatMap((name) => host.read(pciPath(address, name)) ?? [])
    .join(" ");
}
