import { z } from "zod";
import type { Bdf } from "../pci/bdf.js";
import { type Host, pciPath } from "./host.js";

const schema = z.object({
  /** Of the device: after a hot-plug, another may have its address. */
  id: z.string(),
  driver: z.string().nullable(),
  driver_override: z.string().nullable(),
});

/** What a device had before `bind`; null for none. */
export type EarlierBinding = Omit<z.infer<typeof schema>, "id">;

/** On a tmpfs: like a binding itself, it survives the process, and not a reboot. */
export function recordPath(address: Bdf): string {
  return `/run/p2pmem/bindings/${address}`;
}

/** What the record of a device holds. */
export function recordText(host: Host, address: Bdf, earlier: EarlierBinding): string {
  const record: z.infer<typeof schema> = { id: deviceId(host, address), ...earlier };
  return JSON.stringify(record);
}

/** null where `bind` has left none of this device, or none that can be read. */
export function readRecord(host: Host, address: Bdf): EarlierBinding | null {
  try {
    const text = host.read(recordPath(address)) ?? "null";
    const { id, ...earlier } = schema.parse(JSON.parse(text));
    return id === deviceId(host, address) ? earlier : null;
  } catch {
    return null;
  }
}

function deviceId(host: Host, address: Bdf): string {
  return ["vendor", "device", "subsystem_vendor", "subsystem_device"]
    .flatMap((name) => host.read(pciPath(address, name)) ?? [])
    .join(" ");
}
