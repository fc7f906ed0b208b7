/** What a reactor's thread does with a CopyJob. It opens queues and memory by their numbers, for itself. */
import { addon } from "../addon.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import { StartGate } from "../reactor/start-gate.js";
import { CopyEngine } from "./engine.js";
import { openHandoff } from "./handoff.js";
import type { CopyJob, CopyOutcome } from "./job.js";

export function run(job: CopyJob): CopyOutcome {
  const gate = new StartGate(job.gate);
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
    gate.pass();
    return engine.run();
  } finally {
    gate.open();
    for (const resource of opened.reverse()) resource.close();
  }
}
