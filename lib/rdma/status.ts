/** What the status of a completion says (ibv_wc_status; InfiniBand 1.4 §10.8.2, §11.6.2). */
import { RdmaError } from "../errors.js";

export const STATUS_SUCCESS = 0;
/** It was not carried out, as the queue pair had failed before or was closed. */
export const STATUS_FLUSHED = 5;

const STATUSES: Readonly<Record<number, readonly [name: string, hint?: string]>> = {
  0: ["Success"],
  1: ["Local Length Error", "post receives that are as long as what the other side sends"],
  2: ["Local QP Operation Error"],
  3: ["Local EE Context Operation Error"],
  4: ["Local Protection Error", "a key does not cover the memory, or its region has gone"],
  5: ["Work Request Flushed", "an earlier request failed, or the queue pair was closed"],
  6: ["Memory Window Bind Error"],
  7: ["Bad Response"],
  8: ["Local Access Error"],
  9: ["Remote Invalid Request", "the other side takes no such request, or no such length"],
  10: ["Remote Access Error", "the other side's key does not allow it, or its region has gone"],
  11: ["Remote Operation Error", "the other side's queue pair has failed: see its errors"],
  12: [
    "Transport Retry Counter Exceeded",
    "the other side does not answer: is it there, and its port up?",
  ],
  13: ["RNR Retry Counter Exceeded", "the other side has posted no receives"],
  14: ["Local RDD Violation"],
  15: ["Remote Invalid RD Request"],
  16: ["Remote Aborted"],
  17: ["Invalid EE Context Number"],
  18: ["Invalid EE Context State"],
  19: ["Fatal Error", "the device has failed: its port may have to be reset"],
  20: ["Response Timeout"],
  21: ["General Error"],
};

/** As `ibv_wc_status_str()` says it, in the specification's words. */
export function statusName(status: number): string {
  return STATUSES[status]?.[0] ?? `unknown status ${status}`;
}

/** `what` says which request it was, such as `a write of 4096 bytes`; `device` the device's name. */
export function statusError(
  status: number,
  what: string,
  device: string,
  vendorError = 0,
): RdmaError {
  const vendor = vendorError === 0 ? "" : ` (vendor error 0x${vendorError.toString(16)})`;
  const hint = STATUSES[status]?.[1];
  const message = `${what} failed: ${statusName(status)}${vendor}`;
  return new RdmaError(message, { status, vendorError }, { device, ...(hint ? { hint } : {}) });
}
