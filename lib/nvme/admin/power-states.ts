/** The power states of a controller, in Identify Controller (NVMe 1.4 figure 251). */
import { decodeFields, type Fields } from "./fields.js";

const microseconds = (value: number): string => (value === 0 ? "" : `${value} us`);

export const POWER_STATE_FIELDS = [
  ["mp", 0, 2, "number"],
  ["flags", 3, 1, "hex", { MXPS: 0, NOPS: 1 }],
  ["enlat", 4, 4, "number", microseconds],
  ["exlat", 8, 4, "number", microseconds],
  ["rrt", 12, 1, "number"],
  ["rrl", 13, 1, "number"],
  ["rwt", 14, 1, "number"],
  ["rwl", 15, 1, "number"],
  ["idlp", 16, 2, "number"],
  ["ips", 18, 1, "hex", { scale: [6, 7] }],
  ["actp", 20, 2, "number"],
  ["aps", 22, 1, "hex", { workload: [0, 2], scale: [6, 7] }],
] as const;

export type PowerStateFields = Fields<typeof POWER_STATE_FIELDS>;

const POWER_STATES_AT = 2048;
const POWER_STATE_BYTES = 32;

/** All NPSS + 1 of them. */
export function decodePowerStates(data: DataView, npss: number): PowerStateFields[] {
  return Array.from({ length: Math.min(npss, 31) + 1 }, (_, state) =>
    decodeFields(POWER_STATE_FIELDS, data, POWER_STATES_AT + state * POWER_STATE_BYTES),
  );
}
