/** What a reactor's thread does with an NvmeCopyJob. */
import { addon } from "../../addon.js";
import { openQueuePair } from "../../nvme/queues/queue-pair.js";
import { StartGate } from "../../reactor/start-gate.js";
import type { CopyOutcome } from "../job.js";
import { NvmeCopyEngine } from "./engine.js";
import type { NvmeCopyJob } from "./job.js";

export function run(job: NvmeCopyJob): CopyOutcome {
  const gate = new StartGate(job.gate);
  const opened: { close(): void }[] = [];
  const open = <T extends { close(): void }>(resource: T): T => {
    opened.push(resource);
    return resource;
  };
  try {
    const queue = open(openQueuePair(job.queue));
    const lists = open(addon().openMemory(job.lists.memoryId));
    const engine = new NvmeCopyEngine(job, queue, lists.buffer, () => {
      addon().yieldProcessor();
    });
    gate.pass();
    return engine.run();
  } finally {
    gate.open();
    for (const resource of opened.reverse()) resource.close();
  }
}
