/** The data structures that Identify returns (NVMe 1.4 §5.15.2). */
import { decodeSgls, type SglSupport } from "../descriptors/sgl-support.js";
import { IdentifyController, IdentifyNamespace, OACS, ONCS, PAGE } from "../spec.js";

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
  /** RTD3E: how long a shutdown may take, milliseconds; 0 where the controller does not say. */
  shutdownTime: number;
  hasCompare: boolean;
  /** It takes shadow doorbells. */
  hasShadowDoorbells: boolean;
  /** There is a volatile write cache: written data is safe only after a flush. */
  hasVolatileWriteCache: boolean;
  sgl: SglSupport;
  /** NVMe qualified name of the subsystem; empty where the controller is older than 1.2.1. */
  subsystemName: string;
}

export interface NamespaceIdentity {
  /** NSZE, blocks. */
  blocks: number;
  /** Bytes. */
  blockSize: number;
  /** Bytes of metadata for each block. */
  metadataSize: number;
}

/** `minPageSize` is CAP.MPSMIN in bytes, the unit of MDTS. */
export function decodeController(data: DataView, minPageSize = PAGE): ControllerIdentity {
  const at = IdentifyController;
  const mdts = data.getUint8(at.MDTS);
  return {
    vendorId: data.getUint16(at.VID, true),
    serialNumber: ascii(data, at.SN, at.SN_BYTES),
    modelNumber: ascii(data, at.MN, at.MN_BYTES),
    firmwareRevision: ascii(data, at.FR, at.FR_BYTES),
    controllerId: data.getUint16(at.CNTLID, true),
    maxTransfer: mdts === 0 ? Infinity : 2 ** mdts * minPageSize,
    submissionEntry: entrySize(data.getUint8(at.SQES)),
    completionEntry: entrySize(data.getUint8(at.CQES)),
    namespaceCount: data.getUint32(at.NN, true),
    abortLimit: data.getUint8(at.ACL) + 1,
    shutdownTime: data.getUint32(at.RTD3E, true) / 1000, // from microseconds
    hasShadowDoorbells: (data.getUint16(at.OACS, true) & OACS.DOORBELL_BUFFER_CONFIG) !== 0,
    hasCompare: (data.getUint16(at.ONCS, true) & ONCS.COMPARE) !== 0,
    hasVolatileWriteCache: (data.getUint8(at.VWC) & 1) !== 0,
    sgl: decodeSgls(data.getUint32(at.SGLS, true)),
    subsystemName: ascii(data, at.SUBNQN, at.SUBNQN_BYTES),
  };
}

export function decodeNamespace(data: DataView): NamespaceIdentity {
  const at = IdentifyNamespace;
  const flbas = data.getUint8(at.FLBAS);
  // NVMe 2.0 §4.1.5.1 puts two more bits of the format's index in 6:5, reserved (0) in 1.4.
  const format = data.getUint32(at.LBAF0 + 4 * ((flbas & 0xf) | ((flbas & 0x60) >>> 1)), true);
  return {
    blocks: data.getUint32(at.NSZE, true) + data.getUint32(at.NSZE + 4, true) * 2 ** 32,
    blockSize: 2 ** ((format >>> 16) & 0xff),
    metadataSize: format & 0xffff,
  };
}

/** Active Namespace ID list (§5.15.2.3): ascending, ends at the first zero. */
export function decodeNamespaceList(data: DataView): number[] {
  const ids = [];
  for (let offset = 0; offset < data.byteLength; offset += 4) {
    const nsid = data.getUint32(offset, true);
    if (nsid === 0) break;
    ids.push(nsid);
  }
  return ids;
}

function entrySize(byte: number): { required: number; max: number } {
  return { required: byte & 0xf, max: byte >>> 4 };
}

/** ASCII fields are padded with spaces (§1.6), names with zeros. */
function ascii(data: DataView, offset: number, length: number): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset + offset, length);
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end))).trim();
}
