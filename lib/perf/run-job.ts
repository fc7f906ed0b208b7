/** What a reactor's thread does with a PerfJob. It opens queues by their numbers, for itself. */
import { addon } from "../addon.js";
import { openQueuePair, type QueuePair } from "../nvme/queues/queue-pair.js";
import { StartGate } from "../reactor/start-gate.js";
import { PerfEngine } from "./engine.js";
import type { PerfJob, PerfOutcome } from "./job.js";

export function run(job: PerfJob): PerfOutcome {
  return withEngine(job, (engine) => {
    new StartGate(job.gate).pass();
    return engine.run();
  });
}

/** On the processor of the job, with its queues open, which are closed when the result is there. */
export function withEngine<T>(job: PerfJob, use: (engine: PerfEngine) => T): T {
  const opened: QueuePair[] = [];
  const before = job.cpu === null ? null : addon().threadAffinity();
  try {
    if (job.cpu !== null) addon().setThreadAffinity([job.cpu]);
    const queues = job.targets.map(({ lanes }) =>
      lanes.map(({ queue }) => {
        const pair = openQueuePair(queue);
        opened.push(pair);
        return pair;
      }),
    );
    return use(
      new PerfEngine(job, queues, () => {
        addon().yieldProcessor();
      }),
    );
  } finally {
    for (const queue of opened) queue.close();
    // The thread is kept, for jobs that name no processor too.
    if (before !== null) addon().setThreadAffinity(before);
  }
}
