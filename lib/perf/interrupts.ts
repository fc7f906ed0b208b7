/**
 * A PerfJob on the calling thread, which sleeps until interrupts tell of completions: a reactor's
 * thread takes no turn of the event loop, where interrupts arrive.
 */
import { addon } from "../addon.js";
import type { CpuTime } from "../reactor/reactor.js";
import type { PerfEngine } from "./engine.js";
import type { PerfJob, PerfOutcome } from "./job.js";
import { openEngine } from "./run-job.js";
import type { PerfQueue } from "./setup.js";

/**
 * How often to look at the stop flag, the time and the devices, milliseconds. It also keeps the
 * process alive, which waiting for an interrupt does not.
 */
const LOOK_MS = 10;

/** `queues`: in the order of the job's. Errors: GONE, UNSUPPORTED. */
export async function runByInterrupts(
  job: PerfJob,
  queues: readonly PerfQueue[],
): Promise<{ outcome: PerfOutcome; cpu: CpuTime }> {
  const { engine, close } = openEngine(job);
  try {
    const before = addon().threadCpuTime();
    await drive(engine, queues);
    const after = addon().threadCpuTime();
    const cpu = { userNs: after.user - before.user, systemNs: after.system - before.system };
    return { outcome: engine.outcome(), cpu };
  } finally {
    close();
  }
}

/** To the end, until nothing is in flight. */
async function drive(engine: PerfEngine, queues: readonly PerfQueue[]): Promise<void> {
  let interrupts = 0;
  /** Interrupts there had been at the last look. */
  let before = 0;
  /** The last look has found what no interrupt had told of. */
  let isMissed = false;
  const errors: unknown[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve) => {
      const attempt = (act: () => void): void => {
        try {
          act();
        } catch (error) {
          errors.push(error);
        }
        if (engine.isDone || errors.length > 0) resolve();
      };
      const interrupted = (): void => {
        interrupts++;
        attempt(() => engine.poll());
      };
      for (const { controller, qid } of queues) controller.onQueueInterrupt(qid, interrupted);
      timer = setInterval(() => {
        attempt(() => {
          const isSilent = interrupts === before;
          if (isMissed && isSilent) warn(queues);
          before = interrupts;
          isMissed = isSilent && engine.poll();
          engine.look();
        });
      }, LOOK_MS);
      attempt(() => {
        engine.begin();
      });
    });
  } finally {
    clearInterval(timer);
    for (const { controller, qid } of queues) controller.onQueueInterrupt(qid, null);
  }
  if (errors.length > 0) throw errors[0];
}

let hasWarned = false;

function warn(queues: readonly PerfQueue[]): void {
  if (hasWarned) return;
  hasWarned = true;
  const devices = [...new Set(queues.map(({ controller }) => controller.address))].join(", ");
  process.emitWarning(`commands of ${devices} complete without an interrupt`, {
    code: "P2PMEM_MISSED_INTERRUPT",
    detail: `they are found by a look every ${LOOK_MS} ms, and what is measured is that; poll instead`,
  });
}
