/** What the status field of a completion says (NVMe 1.4 §4.6.1). */
import { NvmeError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";

/** Status code types, §4.6.1 figure 125. */
const GENERIC = 0;
const COMMAND_SPECIFIC = 1;
const MEDIA = 2;
const DATA_TRANSFER_ERROR = 0x04;
const ABORT_REQUESTED = 0x07;
const ABORTED_SQ_DELETION = 0x08;
const COMPARE_FAILURE = 0x85;

/** Names as the figures 126 to 128 have them, by status code type and status code. */
const NAMES: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  [GENERIC]: {
    0x00: "Successful Completion",
    0x01: "Invalid Command Opcode",
    0x02: "Invalid Field in Command",
    0x03: "Command ID Conflict",
    [DATA_TRANSFER_ERROR]: "Data Transfer Error",
    0x05: "Commands Aborted due to Power Loss Notification",
    0x06: "Internal Error",
    [ABORT_REQUESTED]: "Command Abort Requested",
    [ABORTED_SQ_DELETION]: "Command Aborted due to SQ Deletion",
    0x09: "Command Aborted due to Failed Fused Command",
    0x0a: "Command Aborted due to Missing Fused Command",
    0x0b: "Invalid Namespace or Format",
    0x0c: "Command Sequence Error",
    0x0d: "Invalid SGL Segment Descriptor",
    0x0e: "Invalid Number of SGL Descriptors",
    0x0f: "Data SGL Length Invalid",
    0x10: "Metadata SGL Length Invalid",
    0x11: "SGL Descriptor Type Invalid",
    0x12: "Invalid Use of Controller Memory Buffer",
    0x13: "PRP Offset Invalid",
    0x14: "Atomic Write Unit Exceeded",
    0x15: "Operation Denied",
    0x16: "SGL Offset Invalid",
    0x18: "Host Identifier Inconsistent Format",
    0x19: "Keep Alive Timer Expired",
    0x1a: "Keep Alive Timeout Invalid",
    0x1b: "Command Aborted due to Preempt and Abort",
    0x1c: "Sanitize Failed",
    0x1d: "Sanitize In Progress",
    0x1e: "SGL Data Block Granularity Invalid",
    0x1f: "Command Not Supported for Queue in CMB",
    0x20: "Namespace is Write Protected",
    0x21: "Command Interrupted",
    0x22: "Transient Transport Error",
    0x80: "LBA Out of Range",
    0x81: "Capacity Exceeded",
    0x82: "Namespace Not Ready",
    0x83: "Reservation Conflict",
    0x84: "Format In Progress",
  },
  [COMMAND_SPECIFIC]: {
    0x00: "Completion Queue Invalid",
    0x01: "Invalid Queue Identifier",
    0x02: "Invalid Queue Size",
    0x03: "Abort Command Limit Exceeded",
    0x05: "Asynchronous Event Request Limit Exceeded",
    0x08: "Invalid Interrupt Vector",
    0x09: "Invalid Log Page",
    0x0a: "Invalid Format",
    0x0c: "Invalid Queue Deletion",
    0x0d: "Feature Identifier Not Saveable",
    0x0e: "Feature Not Changeable",
    0x0f: "Feature Not Namespace Specific",
    0x80: "Conflicting Attributes",
    0x81: "Invalid Protection Information",
    0x82: "Attempted Write to Read Only Range",
  },
  [MEDIA]: {
    0x80: "Write Fault",
    0x81: "Unrecovered Read Error",
    0x82: "End-to-end Guard Check Error",
    0x83: "End-to-end Application Tag Check Error",
    0x84: "End-to-end Reference Tag Check Error",
    [COMPARE_FAILURE]: "Compare Failure",
    0x86: "Access Denied",
    0x87: "Deallocated or Unwritten Logical Block",
  },
};

/** The status field, without the phase bit: 15 bits (figure 124). */
export function decodeStatus(status: number): {
  statusCodeType: number;
  statusCode: number;
  doNotRetry: boolean;
} {
  return {
    statusCode: status & 0xff,
    statusCodeType: (status >>> 8) & 0x7,
    doNotRetry: (status & 0x4000) !== 0,
  };
}

/** `LBA Out of Range`, or the numbers where the specification has no name. */
export function statusName(status: number): string {
  const { statusCodeType, statusCode } = decodeStatus(status);
  const known = NAMES[statusCodeType]?.[statusCode];
  if (known !== undefined) return known;
  const kind = statusCodeType === 7 ? "vendor specific status" : "unknown status";
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
  return new NvmeError(`${what} failed: ${statusName(status)}`, decoded, {
    device,
    ...(decoded.doNotRetry ? {} : { hint: "the controller says that a retry may succeed" }),
  });
}
