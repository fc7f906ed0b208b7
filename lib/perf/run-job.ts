/** What a reactor's thread does with a PerfJob. It opens queues by their numbers, for itself. */
import { addon } from "../addon.js";
import { openQueuePair, type QueuePair } from "../nvme/queues/queue-pair.js";
import { StartGate } from "../reactor/start-gate.js";
import { tryAll } from "../try-all.js";
import { PerfEngine } from "./engine.js";
import type { PerfJob, PerfOutcome } from "./job.js";

export function run(job: PerfJob): PerfOutcome {
  const { engine, close } = openEngine(job);
  try {
    new StartGate(job.gate).pass();
    return engine.run();
  } finally {
    close();
  }
}

/** On the processor of the job, with its queues open. Close it when the result is there. */
export function openEngine(job: PerfJob): { engine: PerfEngine; close: () => void } {
  const opened: (() => void)[] = [];
  const close = (): void => {
    tryAll(opened.splice(0));
  };
  try {
    if (job.cpu !== null) {
      // The thread is kept, for jobs that name no processor too.
      const before = addon().threadAffinity();
      opened.push(() => {
        addon().setThreadAffinity(before);
      });
      addon().setThreadAffinity([job.cpu]);
    }
    const queues = job.targets.map(({ lanes }) =>
      lanes.map(({ queue }): QueuePair => {
        const pair = openQueuePair(queue);
        opened.push(() => {
          pair.close();
        });
        return pair;
      }),
    );
    const engine = new PerfEngine(job, queues, () => {
      addon().yieldProcessor();
    });
    return { engine, close };
  } catch (error) {
    close();
    throw error;
  }
}
