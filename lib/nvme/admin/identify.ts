/** What of the data structures that Identify returns (NVMe 1.4 §5.15.2) the driver needs itself. */
import {
  decodeCopyLimits,
  decodeCopySupport,
  type CopyLimits,
  type CopySupport,
} from "../commands/copy.js";
import { decodeSgls, type SglSupport } from "../descriptors/sgl-support.js";
import { OACS, ONCS, PAGE } from "../spec.js";
import { CONTROLLER_FIELDS, type ControllerFields } from "./controller-fields.js";
import { decodeFields, hexDigits } from "./fields.js";
import { decodeLbaFormat, decodeLbaFormats, NAMESPACE_FIELDS } from "./namespace-fields.js";
import type { LbaFormat, NamespaceFields } from "./namespace-fields.js";
import { decodePowerStates, type PowerStateFields } from "./power-states.js";

export interface ControllerIdentity {
  vendorId: number;
  serialNumber: string;
  modelNumber: string;
  firmwareRevision: string;
  controllerId: number;
  /** Largest transfer by MDTS, bytes; Infinity where the controller sets no limit. */
  maxTransfer: number;
  /** Required and largest sizes of queue entries, as powers of two. */
  submissionEntry: { required: number; max: number };
  completionEntry: { required: number; max: number };
  namespaceCount: number;
  /** ACL: Abort commands that may be outstanding. */
  abortLimit: number;
  /** AERL: Asynchronous Event Requests that may be outstanding. */
  asyncEventLimit: number;
  /** OAES: the notices that it may send, by their bits. */
  optionalEvents: number;
  /** RTD3E: how long a shutdown may take, milliseconds; 0 where the controller does not say. */
  shutdownTime: number;
  hasCompare: boolean;
  hasWriteZeroes: boolean;
  hasDatasetManagement: boolean;
  copy: CopySupport;
  /** It takes shadow doorbells. */
  hasShadowDoorbells: boolean;
  /** There is a volatile write cache: written data is safe only after a flush. */
  hasVolatileWriteCache: boolean;
  sgl: SglSupport;
  /** NVMe qualified name of the subsystem; empty where the controller is older than 1.2.1. */
  subsystemName: string;
  /** All that the structure holds, by the specification's names. */
  fields: ControllerFields;
  powerStates: PowerStateFields[];
}

export interface NamespaceIdentity {
  /** NSZE, blocks. */
  blocks: number;
  /** Bytes. */
  blockSize: number;
  /** Bytes of metadata for each block. */
  metadataSize: number;
  /** All that the structure holds, by the specification's names. */
  fields: NamespaceFields;
  formats: LbaFormat[];
  copyLimits: CopyLimits;
}

/** `minPageSize` is CAP.MPSMIN in bytes, the unit of MDTS. */
export function decodeController(data: DataView, minPageSize = PAGE): ControllerIdentity {
  const fields = decodeFields(CONTROLLER_FIELDS, data);
  const { mdts, oncs } = fields;
  return {
    vendorId: fields.vid,
    serialNumber: fields.sn,
    modelNumber: fields.mn,
    firmwareRevision: fields.fr,
    controllerId: fields.cntlid,
    maxTransfer: mdts === 0 ? Infinity : 2 ** mdts * minPageSize,
    submissionEntry: entrySize(fields.sqes),
    completionEntry: entrySize(fields.cqes),
    namespaceCount: fields.nn,
    abortLimit: fields.acl + 1,
    asyncEventLimit: fields.aerl + 1,
    optionalEvents: fields.oaes,
    shutdownTime: fields.rtd3e / 1000, // from microseconds
    hasShadowDoorbells: (fields.oacs & OACS.DOORBELL_BUFFER_CONFIG) !== 0,
    hasCompare: (oncs & ONCS.COMPARE) !== 0,
    copy: decodeCopySupport(data),
    hasWriteZeroes: (oncs & ONCS.WRITE_ZEROES) !== 0,
    hasDatasetManagement: (oncs & ONCS.DATASET_MANAGEMENT) !== 0,
    hasVolatileWriteCache: (fields.vwc & 1) !== 0,
    sgl: decodeSgls(fields.sgls),
    subsystemName: fields.subnqn,
    fields,
    powerStates: decodePowerStates(data, fields.npss),
  };
}

export function decodeNamespace(data: DataView): NamespaceIdentity {
  const fields = decodeFields(NAMESPACE_FIELDS, data);
  const { ms, lbads } = decodeLbaFormat(data, formatInUse(fields));
  return {
    blocks: Number(fields.nsze),
    blockSize: 2 ** lbads,
    metadataSize: ms,
    fields,
    formats: decodeLbaFormats(data, fields.nlbaf),
    copyLimits: decodeCopyLimits(data),
  };
}

/** NVMe 2.0 §4.1.5.1 puts two more bits of the format's index in 6:5, reserved (0) in 1.4. */
export function formatInUse({ flbas }: Pick<NamespaceFields, "flbas">): number {
  return (flbas & 0xf) | ((flbas & 0x60) >>> 1);
}

/** A list of namespace ids (§5.15.2.3): ascending, ends at the first zero. */
export function decodeNamespaceList(data: DataView): number[] {
  const ids = [];
  for (let offset = 0; offset < data.byteLength; offset += 4) {
    const nsid = data.getUint32(offset, true);
    if (nsid === 0) break;
    ids.push(nsid);
  }
  return ids;
}

/** What names a namespace for good (§5.15.2.4 figure 249); null where it has no such name. */
export interface NamespaceDescriptors {
  /** Hexadecimal digits. */
  eui64: string | null;
  nguid: string | null;
  uuid: string | null;
  /** Its I/O command set (NVMe 2.0): 0 is NVM. */
  csi: number | null;
}

/** NVMe 1.3, which brought the namespace identification descriptors. */
const VERSION_1_3 = 0x10300;

/** Whether AdminCommands.namespaceDescriptors() may be asked. */
export function hasDescriptors({ fields }: Pick<ControllerIdentity, "fields">): boolean {
  return fields.ver >= VERSION_1_3;
}

/** Namespace Identification Descriptor types, each with its length, bytes. */
const NIDT = {
  EUI64: { type: 1, bytes: 8 },
  NGUID: { type: 2, bytes: 16 },
  UUID: { type: 3, bytes: 16 },
  CSI: { type: 4, bytes: 1 },
} as const;
const DESCRIPTOR_HEADER = 4;

/** Ends at the first length of zero; types that are not known or not of their length are passed over. */
export function decodeDescriptors(data: DataView): NamespaceDescriptors {
  const found: NamespaceDescriptors = { eui64: null, nguid: null, uuid: null, csi: null };
  for (let at = 0; at + DESCRIPTOR_HEADER < data.byteLength;) {
    const length = data.getUint8(at + 1);
    const value = at + DESCRIPTOR_HEADER;
    if (length === 0 || value + length > data.byteLength) break;
    const is = ({ type, bytes }: { type: number; bytes: number }): boolean =>
      data.getUint8(at) === type && length === bytes;
    if (is(NIDT.EUI64)) found.eui64 = hexDigits(data, value, length);
    if (is(NIDT.NGUID)) found.nguid = hexDigits(data, value, length);
    if (is(NIDT.UUID)) found.uuid = decodeFields([["uuid", 0, 16, "uuid"]], data, value).uuid;
    if (is(NIDT.CSI)) found.csi = data.getUint8(value);
    at = value + length;
  }
  return found;
}

function entrySize(byte: number): { required: number; max: number } {
  return { required: byte & 0xf, max: byte >>> 4 };
}
