/**
 * Identify Controller (NVMe 1.4 §5.15.2.2 figure 247), with the fields that NVMe 2.0 (figure 275) has
 * put where 1.4 has reserved bytes, which are zero there.
 */
import { counted, formatSize } from "../../units.js";
import type { Fields } from "./fields.js";

/** What CNTRLTYPE says. */
const CONTROLLER_TYPES = ["not reported", "I/O", "discovery", "administrative"];
/** Kelvins at which water freezes, to the precision of the fields. */
const ZERO_CELSIUS = 273;

const times =
  (unit: number, name: string) =>
  (value: number): string =>
    value === 0 ? "" : `${value * unit} ${name}`;
const kelvins = (value: number): string => (value === 0 ? "" : `${value - ZERO_CELSIUS} °C`);
const size = (value: number): string => (value === 0 ? "" : formatSize(value));
const pages = (value: number): string => size(value * 4096);
const zeroBased =
  (thing: string) =>
  (value: number): string =>
    counted(value + 1, thing);
/** Required and largest, as powers of two. */
const entrySizes = (value: number): string =>
  (value & 0xf) === value >>> 4
    ? `${2 ** (value >>> 4)} bytes`
    : `${2 ** (value & 0xf)} to ${2 ** (value >>> 4)} bytes`;
const version = (value: number): string =>
  value === 0 ? "" : `${value >>> 16}.${(value >>> 8) & 0xff}.${value & 0xff}`;

export const CONTROLLER_FIELDS = [
  ["vid", 0, 2, "hex"],
  ["ssvid", 2, 2, "hex"],
  ["sn", 4, 20, "text"],
  ["mn", 24, 40, "text"],
  ["fr", 64, 8, "text"],
  ["rab", 72, 1, "number", (value: number) => counted(2 ** value, "command")],
  ["ieee", 73, 3, "hex"],
  [
    "cmic",
    76,
    1,
    "hex",
    {
      "several ports": 0,
      "several controllers": 1,
      "SR-IOV virtual function": 2,
      "asymmetric namespace access": 3,
    },
  ],
  ["mdts", 77, 1, "number"],
  ["cntlid", 78, 2, "hex"],
  ["ver", 80, 4, "hex", version],
  ["rtd3r", 84, 4, "number", times(1, "us")],
  ["rtd3e", 88, 4, "number", times(1, "us")],
  [
    "oaes",
    92,
    4,
    "hex",
    {
      "namespace attribute": 8,
      "firmware activation": 9,
      "ANA change": 11,
      "predictable latency event": 12,
      "LBA status": 13,
      "endurance group event": 14,
      "normal shutdown": 15,
      "zone descriptor": 27,
      "discovery log": 31,
    },
  ],
  [
    "ctratt",
    96,
    4,
    "hex",
    {
      "128-bit host identifier": 0,
      "non-operational power state permissive": 1,
      "NVM sets": 2,
      "read recovery levels": 3,
      "endurance groups": 4,
      "predictable latency": 5,
      "traffic based keep alive": 6,
      "namespace granularity": 7,
      "SQ associations": 8,
      "UUID list": 9,
      "multi-domain subsystem": 10,
      "fixed capacity management": 11,
      "variable capacity management": 12,
      "delete endurance group": 13,
      "delete NVM set": 14,
      "extended LBA formats": 15,
      "flexible data placement": 19,
    },
  ],
  ["rrls", 100, 2, "hex"],
  ["cntrltype", 111, 1, "number", (value: number) => CONTROLLER_TYPES[value] ?? "reserved"],
  ["fguid", 112, 16, "uuid"],
  ["crdt1", 128, 2, "number", times(100, "ms")],
  ["crdt2", 130, 2, "number", times(100, "ms")],
  ["crdt3", 132, 2, "number", times(100, "ms")],
  ["nvmsr", 253, 1, "hex", { "storage device": 0, enclosure: 1 }],
  ["vwci", 254, 1, "hex", { "writes remaining": [0, 6], valid: 7 }],
  ["mec", 255, 1, "hex", { "2-wire": 0, PCIe: 1 }],
  [
    "oacs",
    256,
    2,
    "hex",
    {
      security: 0,
      format: 1,
      firmware: 2,
      "namespace management": 3,
      "self-test": 4,
      directives: 5,
      "NVMe-MI": 6,
      virtualization: 7,
      "doorbell buffer": 8,
      "LBA status": 9,
      lockdown: 10,
    },
  ],
  ["acl", 258, 1, "number", zeroBased("command")],
  ["aerl", 259, 1, "number", zeroBased("command")],
  [
    "frmw",
    260,
    1,
    "hex",
    { "slot 1 read only": 0, slots: [1, 3], "activation without reset": 4, "overlap detection": 5 },
  ],
  [
    "lpa",
    261,
    1,
    "hex",
    {
      "SMART of each namespace": 0,
      "command effects": 1,
      "extended data": 2,
      telemetry: 3,
      "persistent events": 4,
      "supported log pages": 5,
      "telemetry area 4": 6,
    },
  ],
  ["elpe", 262, 1, "number", (value: number) => (value === 0 ? "1 entry" : `${value + 1} entries`)],
  ["npss", 263, 1, "number", zeroBased("state")],
  ["avscc", 264, 1, "hex", { "format of NVMe": 0 }],
  ["apsta", 265, 1, "hex", { "autonomous transitions": 0 }],
  ["wctemp", 266, 2, "number", kelvins],
  ["cctemp", 268, 2, "number", kelvins],
  ["mtfa", 270, 2, "number", times(100, "ms")],
  ["hmpre", 272, 4, "number", pages],
  ["hmmin", 276, 4, "number", pages],
  ["tnvmcap", 280, 16, "wide", size],
  ["unvmcap", 296, 16, "wide", size],
  [
    "rpmbs",
    312,
    4,
    "hex",
    { units: [0, 2], authentication: [3, 5], size: [16, 23], "access size": [24, 31] },
  ],
  ["edstt", 316, 2, "number", times(1, "min")],
  ["dsto", 318, 1, "hex", { "one at a time": 0 }],
  ["fwug", 319, 1, "number", (value: number) => (value === 0xff ? "any" : pages(value))],
  ["kas", 320, 2, "number", times(100, "ms")],
  ["hctma", 322, 2, "hex", { "host controlled": 0 }],
  ["mntmt", 324, 2, "number", kelvins],
  ["mxtmt", 326, 2, "number", kelvins],
  [
    "sanicap",
    328,
    4,
    "hex",
    {
      "crypto erase": 0,
      "block erase": 1,
      overwrite: 2,
      "no-deallocate inhibited": 29,
      "media modified after": [30, 31],
    },
  ],
  ["hmminds", 332, 4, "number", pages],
  ["hmmaxd", 336, 2, "number"],
  ["nsetidmax", 338, 2, "number"],
  ["endgidmax", 340, 2, "number"],
  ["anatt", 342, 1, "number", times(1, "s")],
  [
    "anacap",
    343,
    1,
    "hex",
    {
      optimized: 0,
      "non-optimized": 1,
      inaccessible: 2,
      "persistent loss": 3,
      change: 4,
      "ANAGRPID does not change": 6,
      "ANAGRPID can be set": 7,
    },
  ],
  ["anagrpmax", 344, 4, "number"],
  ["nanagrpid", 348, 4, "number"],
  ["pels", 352, 4, "number", (value: number) => size(value * 64 * 1024)],
  ["domainid", 356, 2, "number"],
  ["megcap", 368, 16, "wide", size],
  ["sqes", 512, 1, "hex", entrySizes],
  ["cqes", 513, 1, "hex", entrySizes],
  ["maxcmd", 514, 2, "number"],
  ["nn", 516, 4, "number"],
  [
    "oncs",
    520,
    2,
    "hex",
    {
      compare: 0,
      "write uncorrectable": 1,
      "dataset management": 2,
      "write zeroes": 3,
      "save and select": 4,
      reservations: 5,
      timestamp: 6,
      verify: 7,
      copy: 8,
    },
  ],
  ["fuses", 522, 2, "hex", { "compare and write": 0 }],
  [
    "fna",
    524,
    1,
    "hex",
    { "formats all": 0, "erases all": 1, "crypto erase": 2, "no broadcast": 3 },
  ],
  ["vwc", 525, 1, "hex", { "volatile write cache": 0, "flush of all namespaces": [1, 2] }],
  ["awun", 526, 2, "number", zeroBased("block")],
  ["awupf", 528, 2, "number", zeroBased("block")],
  ["icsvscc", 530, 1, "hex", { "format of NVMe": 0 }],
  ["nwpc", 531, 1, "hex", { "write protect": 0, "until power cycle": 1, permanent: 2 }],
  ["acwu", 532, 2, "number", zeroBased("block")],
  [
    "ocfs",
    534,
    2,
    "hex",
    { "format 0": 0, "format 1": 1, "format 2": 2, "format 3": 3, "format 4": 4 },
  ],
  [
    "sgls",
    536,
    4,
    "hex",
    {
      SGLs: [0, 1],
      keyed: 2,
      "bit bucket": 16,
      "metadata by byte": 17,
      "longer than data": 18,
      "metadata by SGL": 19,
      offset: 20,
      transport: 21,
    },
  ],
  ["mnan", 540, 4, "number"],
  ["maxdna", 544, 16, "wide"],
  ["maxcna", 560, 4, "number"],
  ["subnqn", 768, 256, "text"],
  ["ioccsz", 1792, 4, "number"],
  ["iorcsz", 1796, 4, "number"],
  ["icdoff", 1800, 2, "number"],
  ["fcatt", 1802, 1, "hex"],
  ["msdbd", 1803, 1, "number"],
  ["ofcs", 1804, 2, "hex"],
] as const;

export type ControllerFields = Fields<typeof CONTROLLER_FIELDS>;
