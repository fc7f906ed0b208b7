import assert from "node:assert/strict";
import { supervise, type SupervisedJob } from "#lib/io/supervise.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import type { EngineFailure, EngineOutcome } from "#lib/reactor/engine-job.js";

const outcome = (failure: EngineFailure | null): EngineOutcome => ({
  ...{ beganNs: 0, endedNs: 1, busyNs: 0, cpu: { userNs: 0, systemNs: 0 }, failure },
});
const lost = outcome({ kind: "lost", queue: 0 });

/** Two jobs, of which the second runs until it is told to stop; `stopped`: when the first had ended. */
function jobsOf(run: () => Promise<EngineOutcome>): { jobs: SupervisedJob[]; stopped: boolean[] } {
  const stopped: boolean[] = [];
  const controls = [ControlBlock.create(1), ControlBlock.create(1)] as const;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const ended = (): void => {
    stopped.push(controls[1].isStopping);
    release();
  };
  return {
    jobs: [
      { control: controls[0], queues: [], run, ended },
      {
        ...{ control: controls[1], queues: [], ended: () => undefined },
        // As at the gate behind the ramp.
        run: () => released.then(() => outcome(null)),
      },
    ],
    stopped,
  };
}

describe("jobs that are supervised", () => {
  const signal = new AbortController().signal;

  it("are let go on by one that has failed only once they have been told to stop", async () => {
    const { jobs, stopped } = jobsOf(() => Promise.resolve(lost));
    const { failure } = await supervise(jobs, signal, () => undefined);
    assert.deepEqual(stopped, [true]);
    assert.equal(failure?.job, 0);
  });

  it("are told to stop before that, too, where one could not even run", async () => {
    const { jobs, stopped } = jobsOf(() => Promise.reject(new RangeError("no memory")));
    await assert.rejects(
      supervise(jobs, signal, () => undefined),
      RangeError,
    );
    assert.deepEqual(stopped, [true]);
  });

  it("go on where one has ended well", async () => {
    const { jobs, stopped } = jobsOf(() => Promise.resolve(outcome(null)));
    const { failure, outcomes } = await supervise(jobs, signal, () => undefined);
    assert.deepEqual([stopped, failure, outcomes.length], [[false], null, 2]);
  });
});
