/** What a reactor's thread does with one end of a stream. It opens all by its numbers, for itself. */
import { openQueuePair } from "../nvme/queues/queue-pair.js";
import { runEngine } from "../reactor/run-engine.js";
import { DestinationEngine } from "./destination-engine.js";
import type { DestinationJob, SourceJob, StreamJobOutcome } from "./job.js";
import { SourceEngine } from "./source-engine.js";
import { OpenWire } from "./wire.js";

export function run(job: SourceJob | DestinationJob): StreamJobOutcome {
  return runEngine(job, (open, thread) => {
    const queue = open(openQueuePair(job.side.queue));
    const wire = open(OpenWire.open(job.wire));
    return job.role === "source"
      ? new SourceEngine(job, queue, wire, thread)
      : new DestinationEngine(job, queue, wire, thread);
  });
}
