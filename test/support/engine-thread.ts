import { epoch } from "#lib/reactor/clock.js";
import type { ControlBlock } from "#lib/reactor/control-block.js";
import type { EngineJob, EngineThread } from "#lib/reactor/engine-job.js";
import { StartGate } from "#lib/reactor/start-gate.js";

/** What every engine's job has, of a run that is only this job. */
export function engineJob(control: ControlBlock, changes: Partial<EngineJob> = {}): EngineJob {
  return {
    rampNs: 0,
    runtimeNs: null,
    spacingNs: 0,
    recordsLatency: true,
    cpu: null,
    control: control.buffer,
    gate: StartGate.create(1).buffer,
    rampGate: StartGate.create(1).buffer,
    epoch: epoch(),
    ...changes,
  };
}

/** A thread without an owner. `onIdle`: called when the engine has nothing to do for a while. */
export function engineThread(
  onIdle: () => void = () => undefined,
  rampEnded: () => void = () => undefined,
): EngineThread {
  return { yieldProcessor: onIdle, cpuTime: () => ({ userNs: 0, systemNs: 0 }), rampEnded };
}
