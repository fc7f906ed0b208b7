/**
 * A PerfJob on the calling thread, which sleeps until interrupts tell of completions: a reactor's
 * thread takes no turn of the event loop, where interrupts arrive.
 */
import type { JobQueue } from "../io/failure.js";
import { threadOf } from "../reactor/run-engine.js";
import { tryAll } from "../try-all.js";
import type { PerfEngine } from "./engine.js";
import type { PerfJob, PerfOutcome } from "./job.js";
import { openEngine } from "./run-job.js";

/**
 * How often to look at the stop flag, the time and the devices, milliseconds. It also keeps the
 * process alive, which waiting for an interrupt does not.
 */
const LOOK_MS = 10;

/**
 * `queues`: in the order of the job's. `rampEnded`: called when what counts begins. Errors: GONE,
 * UNSUPPORTED.
 */
export async function runByInterrupts(
  job: PerfJob,
  queues: readonly JobQueue[],
  rampEnded: () => void,
): Promise<PerfOutcome> {
  const opened: (() => void)[] = [];
  try {
    const engine = openEngine(
      job,
      (resource) => {
        opened.push(() => {
          resource.close();
        });
        return resource;
      },
      threadOf(rampEnded),
    );
    await drive(engine, queues);
    return engine.outcome();
  } finally {
    tryAll(opened);
  }
}

/** To the end, until nothing is in flight. */
async function drive(engine: PerfEngine, queues: readonly JobQueue[]): Promise<void> {
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
        if (errors.length > 0 || isOver(engine)) resolve();
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
        engine.start();
      });
    });
  } finally {
    clearInterval(timer);
    for (const { controller, qid } of queues) controller.onQueueInterrupt(qid, null);
  }
  if (errors.length > 0) throw errors[0];
}

/** All is done, what comes after the ramp too. */
function isOver(engine: PerfEngine): boolean {
  while (engine.isDone) if (!engine.goOn()) return true;
  return false;
}

let hasWarned = false;

function warn(queues: readonly JobQueue[]): void {
  if (hasWarned) return;
  hasWarned = true;
  const devices = [...new Set(queues.map(({ controller }) => controller.address))].join(", ");
  process.emitWarning(`commands of ${devices} complete without an interrupt`, {
    code: "P2PMEM_MISSED_INTERRUPT",
    detail: `they are found by a look every ${LOOK_MS} ms, and what is measured is that; poll instead`,
  });
}
