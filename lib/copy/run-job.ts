/** What a reactor's thread does with a CopyJob. It opens queues and memory by their numbers, for itself. */
import { Registrar } from "../io/registrar.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import type { EngineThread } from "../reactor/engine-job.js";
import { runEngine, type Open } from "../reactor/run-engine.js";
import { CopyEngine } from "./engine.js";
import { openHandoff } from "./handoff.js";
import type { CopyJob, CopyOutcome } from "./job.js";

export function run(job: CopyJob): CopyOutcome {
  return runEngine(job, (open, thread) => openEngine(job, open, thread));
}

/** With its queues and memory open. */
export function openEngine(job: CopyJob, open: Open, thread: EngineThread): CopyEngine {
  const sides = [job.read, job.write];
  const queues = sides.map(({ queue }) => open(openQueuePair(queue)));
  const handoff = open(openHandoff(job.handoff));
  const registrars = sides.map(({ registrar }) => registrar && open(new Registrar(registrar)));
  return new CopyEngine(job, queues, registrars, handoff, thread);
}
