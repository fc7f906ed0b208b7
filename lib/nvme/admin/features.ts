/** Features (NVMe 1.4 §5.21.1), what their values say, and which of them may be set. */
import { Feature } from "../spec.js";
import { decodeBits, type BitFields } from "./fields.js";

/** Which of its values Get Features is to tell (§5.13 figure 183). */
export type FeatureSelect = "current" | "default" | "saved";

/** What can be done with a feature (§5.13.1 figure 185). */
export interface FeatureCapabilities {
  saveable: boolean;
  namespaceSpecific: boolean;
  changeable: boolean;
}

export function decodeCapabilities(value: number): FeatureCapabilities {
  const has = (bit: number): boolean => ((value >>> bit) & 1) === 1;
  return { saveable: has(0), namespaceSpecific: has(1), changeable: has(2) };
}

/** The value of a feature. */
export interface FeatureValue {
  /** Dword 0 of the completion. */
  value: number;
  /** Its parts by the specification's names in lower case; empty for features not known here. */
  fields: Record<string, number>;
  /** Of features whose value is a data structure; else null. */
  data: DataView | null;
}

const FIELDS: Readonly<Record<number, BitFields>> = {
  [Feature.ARBITRATION]: { ab: [0, 2], lpw: [8, 15], mpw: [16, 23], hpw: [24, 31] },
  [Feature.POWER_MANAGEMENT]: { ps: [0, 4], wh: [5, 7] },
  [Feature.TEMPERATURE_THRESHOLD]: { tmpth: [0, 15], tmpsel: [16, 19], thsel: [20, 21] },
  [Feature.ERROR_RECOVERY]: { tler: [0, 15], dulbe: 16 },
  [Feature.VOLATILE_WRITE_CACHE]: { wce: 0 },
  [Feature.NUMBER_OF_QUEUES]: { nsqa: [0, 15], ncqa: [16, 31] },
  [Feature.INTERRUPT_COALESCING]: { thr: [0, 7], time: [8, 15] },
  [Feature.INTERRUPT_VECTOR_CONFIGURATION]: { iv: [0, 15], cd: 16 },
  [Feature.WRITE_ATOMICITY]: { dn: 0 },
  [Feature.ASYNC_EVENT_CONFIGURATION]: {
    shcw: [0, 7],
    nan: 8,
    fan: 9,
    tln: 10,
    anacn: 11,
    plealcn: 12,
    lsian: 13,
    egealcn: 14,
  },
};

export function decodeFeature(id: number, value: number): Record<string, number> {
  return decodeBits(FIELDS[id] ?? {}, value);
}

/** Bytes of the data structures that Get and Set Features transfer. */
export const FEATURE_DATA_BYTES: Readonly<Record<number, number>> = {
  [Feature.LBA_RANGE_TYPE]: 4096,
  [Feature.AUTONOMOUS_POWER_STATE_TRANSITION]: 256,
  [Feature.HOST_MEMORY_BUFFER]: 4096,
  [Feature.TIMESTAMP]: 8,
  [Feature.HOST_BEHAVIOR_SUPPORT]: 512,
  [Feature.HOST_IDENTIFIER]: 16,
};

/**
 * What may be set: it changes how the controller behaves, until it is reset. All else breaks the
 * driver (its number of queues, memory lent to the controller, a timer that ends the connection) or
 * outlives it (write protection, sanitize, reservations), or is not known.
 */
const SETTABLE: ReadonlySet<number> = new Set([
  Feature.ARBITRATION,
  Feature.POWER_MANAGEMENT,
  Feature.TEMPERATURE_THRESHOLD,
  Feature.ERROR_RECOVERY,
  Feature.VOLATILE_WRITE_CACHE,
  Feature.INTERRUPT_COALESCING,
  Feature.INTERRUPT_VECTOR_CONFIGURATION,
  Feature.WRITE_ATOMICITY,
  Feature.AUTONOMOUS_POWER_STATE_TRANSITION,
  Feature.TIMESTAMP,
  Feature.HOST_CONTROLLED_THERMAL_MANAGEMENT,
  Feature.NON_OPERATIONAL_POWER_STATE,
  Feature.HOST_BEHAVIOR_SUPPORT,
]);

export function isSettable(id: number): boolean {
  return SETTABLE.has(id);
}
