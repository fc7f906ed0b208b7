/** Identify Namespace (NVMe 1.4 §5.15.2.1 figures 245 and 246; 2.0 fields as in controller-fields.ts). */
import { formatSize } from "../../units.js";
import { decodeFields, type Fields } from "./fields.js";

const size = (value: number): string => (value === 0 ? "" : formatSize(value));

export const NAMESPACE_FIELDS = [
  ["nsze", 0, 8, "wide"],
  ["ncap", 8, 8, "wide"],
  ["nuse", 16, 8, "wide"],
  [
    "nsfeat",
    24,
    1,
    "hex",
    {
      "thin provisioning": 0,
      "atomic write units": 1,
      "deallocated error": 2,
      "ids never reused": 3,
      "optimal performance": 4,
    },
  ],
  ["nlbaf", 25, 1, "number"],
  ["flbas", 26, 1, "hex", { format: [0, 3], "metadata with data": 4, "format, high bits": [5, 6] }],
  ["mc", 27, 1, "hex", { "with data": 0, separate: 1 }],
  [
    "dpc",
    28,
    1,
    "hex",
    { "type 1": 0, "type 2": 1, "type 3": 2, "first bytes": 3, "last bytes": 4 },
  ],
  ["dps", 29, 1, "hex", { type: [0, 2], "first bytes": 3 }],
  ["nmic", 30, 1, "hex", { shared: 0 }],
  [
    "rescap",
    31,
    1,
    "hex",
    {
      "persists through power loss": 0,
      "write exclusive": 1,
      "exclusive access": 2,
      "write exclusive, registrants": 3,
      "exclusive access, registrants": 4,
      "write exclusive, all registrants": 5,
      "exclusive access, all registrants": 6,
      "ignore existing key as in 1.3": 7,
    },
  ],
  ["fpi", 32, 1, "hex", { "percent remaining": [0, 6], supported: 7 }],
  [
    "dlfeat",
    33,
    1,
    "hex",
    { "deallocated reads as": [0, 2], "write zeroes may deallocate": 3, "guard is CRC": 4 },
  ],
  ["nawun", 34, 2, "number"],
  ["nawupf", 36, 2, "number"],
  ["nacwu", 38, 2, "number"],
  ["nabsn", 40, 2, "number"],
  ["nabo", 42, 2, "number"],
  ["nabspf", 44, 2, "number"],
  ["noiob", 46, 2, "number"],
  ["nvmcap", 48, 16, "wide", size],
  ["npwg", 64, 2, "number"],
  ["npwa", 66, 2, "number"],
  ["npdg", 68, 2, "number"],
  ["npda", 70, 2, "number"],
  ["nows", 72, 2, "number"],
  ["mssrl", 74, 2, "number"],
  ["mcl", 76, 4, "number"],
  ["msrc", 80, 1, "number"],
  ["nulbaf", 82, 1, "number"],
  ["anagrpid", 92, 4, "number"],
  ["nsattr", 99, 1, "hex", { "write protected": 0 }],
  ["nvmsetid", 100, 2, "number"],
  ["endgid", 102, 2, "number"],
  ["nguid", 104, 16, "id"],
  ["eui64", 120, 8, "id"],
] as const;

export type NamespaceFields = Fields<typeof NAMESPACE_FIELDS>;

/** An LBA format: metadata bytes, block size as a power of two, relative performance (0 is best). */
export const LBA_FORMAT_FIELDS = [
  ["ms", 0, 2, "number"],
  ["lbads", 2, 1, "number"],
  ["rp", 3, 1, "number"],
] as const;

export type LbaFormat = Fields<typeof LBA_FORMAT_FIELDS>;

const LBA_FORMATS_AT = 128;
const LBA_FORMATS = 64;

export function decodeLbaFormat(data: DataView, index: number): LbaFormat {
  return decodeFields(LBA_FORMAT_FIELDS, data, LBA_FORMATS_AT + 4 * index);
}

/** All NLBAF + 1 of them. */
export function decodeLbaFormats(data: DataView, nlbaf: number): LbaFormat[] {
  const count = Math.min(nlbaf + 1, LBA_FORMATS);
  return Array.from({ length: count }, (_, index) => decodeLbaFormat(data, index));
}
