/** What a reactor's thread does with a KernelJob: it has a ring of its own. */
import { addon } from "../addon.js";
import { runEngine } from "../reactor/run-engine.js";
import { KernelEngine } from "./engine.js";
import { IoRing } from "./io-ring.js";
import type { KernelJob, KernelOutcome } from "./job.js";

export function run(job: KernelJob): KernelOutcome {
  return runEngine(job, (open, thread) => {
    const memory = open(addon().openMemory(job.memoryId));
    const ring = open(IoRing.open(job.slots));
    const address = ring.hold(memory);
    ring.registerFiles(job.files);
    const isRegistered = job.mayRegister && ring.tryRegisterBuffers(memory, job.stride, job.slots);
    return new KernelEngine(job, ring, address, isRegistered, thread);
  });
}
