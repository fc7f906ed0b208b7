import { P2pError } from "../errors.js";
import type { NvmeController } from "../nvme/controller.js";
import { statusError } from "../nvme/status.js";
import type { JobFailure, Recovery } from "./supervise.js";

/** One of a job's queues, and whose it is. */
export interface JobQueue {
  controller: NvmeController;
  qid: number;
  nsid: number;
}

const ENDED: Readonly<Record<Recovery, string>> = {
  aborted: "it was aborted",
  "queue-deleted": "its queue was deleted",
  reset: "the controller was reset",
};

/** What a failure of a run is to its caller. `queues`: those of the job that has failed. */
export function failureOf(
  { failure, loss, recovery }: JobFailure,
  queues: readonly JobQueue[],
): Error {
  if (failure.kind === "error") {
    const { code, message, hint } = failure;
    return new P2pError(code, message, hint === "" ? {} : { hint });
  }
  const { controller, nsid } = queues[failure.queue]!;
  const device = controller.address;
  if (failure.kind === "fault")
    return new P2pError("BAD_COMPLETION", failure.message, { device, hint: failure.hint });
  if (failure.kind === "lost" || (failure.kind === "timeout" && loss !== null))
    return loss ?? lossOf(queues[failure.queue]!);
  const { command, lba, blocks } = failure;
  const what = `${command} of blocks ${lba} to ${lba + blocks - 1} of namespace ${nsid}`;
  if (failure.kind === "status") return statusError(failure.status, what, device);
  const seconds = controller.timeout / 1000;
  const end = recovery === null ? "its queue was lost" : ENDED[recovery];
  return new P2pError("TIMEOUT", `${what} did not complete in ${seconds} s; ${end}`, {
    device,
    hint: "look at the device's health; --timeout sets another time",
  });
}

function lossOf({ controller, qid }: JobQueue): Error {
  try {
    controller.assertAlive(qid);
  } catch (error) {
    return error as Error;
  }
  return new P2pError("INTERNAL", `queue pair ${qid} of ${controller.address} was given up`);
}
