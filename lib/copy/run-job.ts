/** What a reactor's thread does with a CopyJob. It opens queues and memory by their numbers, for itself. */
import { addon } from "../addon.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import { CopyEngine } from "./engine.js";
import { openHandoff } from "./handoff.js";
import type { CopyJob, CopyOutcome } from "./job.js";

export function run(job: CopyJob): CopyOutcome {
  const opened: { close(): void }[] = [];
  const open = <T extends { close(): void }>(resource: T): T => {
    opened.push(resource);
    return resource;
  };
  try {
    return new CopyEngine(
      job,
      open(openQueuePair(job.read.queue)),
      open(openQueuePair(job.write.queue)),
      open(openHandoff(job.handoff)),
      () => {
        addon().yieldProcessor();
      },
    ).run();
  } finally {
    for (const resource of opened.reverse()) resource.close();
  }
}
