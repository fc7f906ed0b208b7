import type { AddressSpace } from "../../dma/address-space.js";
import { controllerError } from "../lifecycle.js";
import type { AdminQueue } from "../queues/admin-queue.js";
import { AdminOpcode, BROADCAST_NSID, LPA } from "../spec.js";
import { MAX_ADMIN_TRANSFER, transfer } from "./data-transfer.js";
import type { ControllerIdentity } from "./identify.js";

/** §5.14: without extended data the number of dwords has 12 bits. */
const PLAIN_LOG_BYTES = 4096 * 4;

export interface LogPageOptions {
  /** The namespace it is about; left out: the controller. */
  nsid?: number;
  /** Bytes from its start, a multiple of 4. */
  offset?: number;
  /** Log Specific Field and Log Specific Identifier. */
  lsp?: number;
  lsi?: number;
  /** Leave an asynchronous event that told of it masked (RAE). */
  retainEvent?: boolean;
}

/** `most`: bytes that one command may get; `isExtended`: further ones may follow it (LPA bit 2). */
export function logLimits(identity: ControllerIdentity): { isExtended: boolean; most: number } {
  const { fields, maxTransfer } = identity;
  const isExtended = (fields.lpa & LPA.EXTENDED_DATA) !== 0;
  const most = Math.min(maxTransfer, isExtended ? MAX_ADMIN_TRANSFER : PLAIN_LOG_BYTES);
  return { isExtended, most };
}

/** See AdminCommands.logPage(). */
export async function readLog(
  queue: AdminQueue,
  space: AddressSpace,
  identity: ControllerIdentity,
  request: LogPageOptions & { id: number; bytes: number },
): Promise<DataView> {
  const {
    id,
    bytes,
    nsid = BROADCAST_NSID,
    offset = 0,
    lsp = 0,
    lsi = 0,
    retainEvent = false,
  } = request;
  const isRange = bytes > 0 && bytes % 4 === 0 && offset >= 0 && offset % 4 === 0;
  if (!isRange || !Number.isSafeInteger(offset + bytes))
    throw controllerError(
      queue.device,
      "BAD_RANGE",
      `${bytes} bytes at ${offset} of log page ${id}`,
    );
  const { isExtended, most } = logLimits(identity);
  if (!isExtended && (offset > 0 || bytes > most))
    throw controllerError(
      queue.device,
      "UNSUPPORTED",
      `it gives the first ${most} bytes of a log page only (LPA bit 2 is clear)`,
    );
  const page = new Uint8Array(bytes);
  for (let done = 0; done < bytes; done += most) {
    const length = Math.min(most, bytes - done);
    const dwords = length / 4 - 1; // 0's based
    const at = offset + done;
    // The event stays masked until all has been read.
    const retain = retainEvent || done + length < bytes;
    const { data } = await transfer(
      queue,
      space,
      {
        opcode: AdminOpcode.GET_LOG_PAGE,
        nsid,
        cdw10: id | (lsp << 8) | (Number(retain) << 15) | (dwords << 16),
        cdw11: (dwords >>> 16) | (lsi << 16),
        cdw12: at % 2 ** 32,
        cdw13: Math.floor(at / 2 ** 32),
      },
      length,
    );
    page.set(new Uint8Array(data.buffer), done);
  }
  return new DataView(page.buffer);
}
