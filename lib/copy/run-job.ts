/** What a reactor's thread does with a CopyJob. It opens queues and memory by their numbers, for itself. */
import { Registrar } from "../io/registrar.js";
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import { runEngine } from "../reactor/run-engine.js";
import { CopyEngine } from "./engine.js";
import { openHandoff } from "./handoff.js";
import type { CopyJob, CopyOutcome } from "./job.js";

export function run(job: CopyJob): CopyOutcome {
  return runEngine(job, (open, thread) => {
    const read = open(openQueuePair(job.read.queue));
    const write = open(openQueuePair(job.write.queue));
    const handoff = open(openHandoff(job.handoff));
    const registrars = [job.read, job.write].map(
      ({ registrar }) => registrar && open(new Registrar(registrar)),
    );
    return new CopyEngine(job, [read, write], registrars, handoff, thread);
  });
}
