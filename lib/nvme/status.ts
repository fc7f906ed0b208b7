/** What the status field of a completion says (NVMe 1.4 §4.6.1). */
import { NvmeError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { STATUS_NAMES, StatusCodeType } from "./status-names.js";

const { GENERIC, MEDIA, VENDOR } = StatusCodeType;
const DATA_TRANSFER_ERROR = 0x04;
const ABORT_REQUESTED = 0x07;
const ABORTED_SQ_DELETION = 0x08;
const COMPARE_FAILURE = 0x85;

/** What to do about a status, where that is known; type and code as in the status field. */
const HINTS: Readonly<Record<number, string>> = {
  [0x004]: "it could not reach memory of the command: p2pmem probe tries the path",
  [0x00b]: "p2pmem identify shows its namespaces",
  [0x012]: "p2pmem identify --regs shows what its memory buffer takes (CMBLOC, CMBSZ)",
  [0x015]: "it is locked: unlock it with its security protocol (TCG Opal)",
  [0x01d]: "wait until it has been sanitized",
  [0x020]: "take the protection off: nvme set-feature --feature-id 0x84",
  [0x082]: "it may still be starting: try again",
  [0x083]: "another host has reserved it: nvme resv-report",
  [0x084]: "wait until it has been formatted",
  [0x183]: "p2pmem identify shows the limits (MSSRL, MCL, MSRC)",
  [0x286]: "it is locked: unlock it with its security protocol (TCG Opal)",
};

/** The parts of a status field (figure 124). */
export interface DecodedStatus {
  statusCodeType: number;
  statusCode: number;
  /** Which of the delays CRDT1 to CRDT3 of Identify Controller to wait before a retry; 0: none. */
  retryDelay: number;
  /** The error log has more about it. */
  more: boolean;
  doNotRetry: boolean;
}

/** The status field, without the phase bit: 15 bits. */
export function decodeStatus(status: number): DecodedStatus {
  return {
    statusCode: status & 0xff,
    statusCodeType: (status >>> 8) & 0x7,
    retryDelay: (status >>> 11) & 0x3,
    more: (status & 0x2000) !== 0,
    doNotRetry: (status & 0x4000) !== 0,
  };
}

/** `LBA Out of Range`, or the numbers where the specification has no name. */
export function statusName(status: number): string {
  const { statusCodeType, statusCode } = decodeStatus(status);
  const known = STATUS_NAMES[statusCodeType]?.[statusCode];
  if (known !== undefined) return known;
  // Of each type the codes from C0h on are the vendor's.
  const isVendors = statusCodeType === VENDOR || statusCode >= 0xc0;
  const kind = isVendors ? "vendor specific status" : "unknown status";
  return `${kind} (type ${statusCodeType}, code 0x${statusCode.toString(16)})`;
}

/** Whether a command ended since the host asked for that: by Abort, or by deleting its queue. */
export function isAbortStatus(status: number): boolean {
  const { statusCodeType, statusCode } = decodeStatus(status);
  return (
    statusCodeType === GENERIC &&
    (statusCode === ABORT_REQUESTED || statusCode === ABORTED_SQ_DELETION)
  );
}

/** Whether the controller could not reach the memory of a command, in contrast to its medium. */
export function isDataTransferError(error: unknown): boolean {
  return (
    error instanceof NvmeError &&
    error.statusCodeType === GENERIC &&
    error.statusCode === DATA_TRANSFER_ERROR
  );
}

/** Whether a Compare command found its blocks to differ, in contrast to failing. */
export function isCompareFailure(error: unknown): boolean {
  return (
    error instanceof NvmeError &&
    error.statusCodeType === MEDIA &&
    error.statusCode === COMPARE_FAILURE
  );
}

/** `what` says which command it was, such as `Read of blocks 0 to 7 of namespace 1`. */
export function statusError(status: number, what: string, device: Bdf): NvmeError {
  const decoded = decodeStatus(status);
  const hint =
    HINTS[status & 0x7ff] ??
    (decoded.doNotRetry ? undefined : "the controller says that a retry may succeed");
  return new NvmeError(`${what} failed: ${statusName(status)}`, decoded, {
    device,
    ...(hint === undefined ? {} : { hint }),
  });
}
