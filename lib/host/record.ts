import { z } from "zod";
import type { Bdf } from "../pci/bdf.js";
import type { Host } from "./host.js";

const schema = z.object({
  driver: z.string().nullable(),
  driver_override: z.string().nullable(),
});

/** What a device had before `bind`; null for none. */
export type EarlierBinding = z.infer<typeof schema>;

/** On a tmpfs: like a binding itself, it survives the process, and not a reboot. */
export function recordPath(address: Bdf): string {
  return `/run/p2pmem/bindings/${address}`;
}

/** null where `bind` has left none, or none that can be read. */
export function readRecord(host: Host, address: Bdf): EarlierBinding | null {
  try {
    return schema.parse(JSON.parse(host.read(recordPath(address)) ?? "null"));
  } catch {
    return null;
  }
}
