/**
 * Entry of a reactor's thread: takes one job at a time, runs it to its end without an event-loop
 * turn, and answers with its outcome. It opens queues and memory by their numbers, for itself.
 */
import { parentPort } from "node:worker_threads";
import { addon } from "../addon.js";
import { P2pError } from "../errors.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import { CopyEngine } from "./engine.js";
import { openHandoff } from "./handoff.js";
import type { CopyJob, CopyOutcome } from "./job.js";

/** An outcome, or an error whose class would not survive the way through postMessage. */
export type ReactorAnswer =
  | { outcome: CopyOutcome }
  | { error: { code: string; message: string; hint?: string; stack?: string } };

function run(job: CopyJob): CopyOutcome {
  const opened: { close(): void }[] = [];
  const open = <T extends { close(): void }>(resource: T): T => {
    opened.push(resource);
    return resource;
  };
  try {
    const engine = new CopyEngine(
      job,
      open(openQueuePair(job.read.queue)),
      open(openQueuePair(job.write.queue)),
      open(openHandoff(job.handoff)),
      () => {
        addon().yieldProcessor();
      },
    );
    const before = addon().threadCpuTime();
    const outcome = engine.run();
    const after = addon().threadCpuTime();
    return {
      ...outcome,
      userNs: after.user - before.user,
      systemNs: after.system - before.system,
    };
  } finally {
    for (const resource of opened.reverse()) resource.close();
  }
}

function answer(job: CopyJob): ReactorAnswer {
  try {
    return { outcome: run(job) };
  } catch (error) {
    if (!(error instanceof Error)) return { error: { code: "INTERNAL", message: String(error) } };
    return {
      error: {
        code: error instanceof P2pError ? error.code : "INTERNAL",
        message: error.message,
        ...(error instanceof P2pError && error.hint !== undefined ? { hint: error.hint } : {}),
        ...(error.stack === undefined ? {} : { stack: error.stack }),
      },
    };
  }
}

parentPort!.on("message", (job: CopyJob) => {
  parentPort!.postMessage(answer(job));
});
