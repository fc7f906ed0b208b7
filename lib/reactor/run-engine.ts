import { addon } from "../addon.js";
import { tryAll } from "../try-all.js";
import type { EngineJob, EngineThread } from "./engine-job.js";
import { StartGate } from "./start-gate.js";

/** Takes over what is closed when the engine has run, and gives it back. */
export type Open = <T extends { close(): void }>(resource: T) => T;

/**
 * Has an engine made, waits at the gate for the other jobs, and runs it, on the processor of the job.
 * Jobs without a gate for the end of the ramp do not wait for each other there. Whatever happens, what was
 * opened is closed. That the others wait no longer for one that has failed is for the owner to say, who
 * has told them to stop by then.
 */
export function runEngine<Outcome>(
  job: Pick<EngineJob, "cpu" | "gate"> & Partial<Pick<EngineJob, "rampGate">>,
  make: (open: Open, thread: EngineThread) => { run(): Outcome },
): Outcome {
  const start = new StartGate(job.gate);
  const ramp = job.rampGate && new StartGate(job.rampGate);
  const opened: (() => void)[] = [];
  try {
    if (job.cpu !== null) opened.push(pin(job.cpu));
    const engine = make(
      (resource) => {
        opened.push(() => {
          resource.close();
        });
        return resource;
      },
      threadOf(() => {
        ramp?.pass();
      }),
    );
    start.pass();
    return engine.run();
  } finally {
    tryAll(opened.reverse());
  }
}

/** This thread, to an engine. */
export function threadOf(rampEnded: () => void): EngineThread {
  const native = addon();
  return {
    yieldProcessor: () => {
      native.yieldProcessor();
    },
    cpuTime: () => {
      const { user, system } = native.threadCpuTime();
      return { userNs: user, systemNs: system };
    },
    rampEnded,
  };
}

/** Gives what undoes it: the thread is kept, for jobs that name no processor too. */
function pin(cpu: number): () => void {
  const before = addon().threadAffinity();
  addon().setThreadAffinity([cpu]);
  return () => {
    addon().setThreadAffinity(before);
  };
}
