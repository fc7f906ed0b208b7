/** What a reactor's thread does with a PerfJob. It opens queues by their numbers, for itself. */
import { Registrar } from "../io/registrar.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import type { EngineThread } from "../reactor/engine-job.js";
import { runEngine, type Open } from "../reactor/run-engine.js";
import { PerfEngine } from "./engine.js";
import type { PerfJob, PerfOutcome } from "./job.js";

export function run(job: PerfJob): PerfOutcome {
  return runEngine(job, (open, thread) => openEngine(job, open, thread));
}

/** With its queues and mappings open. */
export function openEngine(job: PerfJob, open: Open, thread: EngineThread): PerfEngine {
  const lanes = job.targets.map((target) =>
    target.lanes.map(({ queue, registrar }) => ({
      queue: open(openQueuePair(queue)),
      registrar: registrar && open(new Registrar(registrar)),
    })),
  );
  return new PerfEngine(job, lanes, thread);
}
