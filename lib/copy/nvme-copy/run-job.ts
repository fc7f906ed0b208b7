/** What a reactor's thread does with an NvmeCopyJob. */
import { addon } from "../../addon.js";
import { openQueuePair } from "../../nvme/queues/queue-pair.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import { runEngine, type Open } from "../../reactor/run-engine.js";
import type { CopyOutcome } from "../job.js";
import { NvmeCopyEngine } from "./engine.js";
import type { NvmeCopyJob } from "./job.js";

export function run(job: NvmeCopyJob): CopyOutcome {
  return runEngine(job, (open, thread) => openEngine(job, open, thread));
}

/** With its queue and lists open. */
export function openEngine(job: NvmeCopyJob, open: Open, thread: EngineThread): NvmeCopyEngine {
  const queue = open(openQueuePair(job.queue));
  const lists = open(addon().openMemory(job.lists.memoryId));
  return new NvmeCopyEngine(job, queue, lists.buffer, thread);
}
