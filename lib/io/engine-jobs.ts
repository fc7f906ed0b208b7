import { epoch } from "../reactor/clock.js";
import type { ControlBlock } from "../reactor/control-block.js";
import type { EngineJob } from "../reactor/engine-job.js";
import { StartGate } from "../reactor/start-gate.js";
import type { RunPlan } from "./run-plan.js";

/** What of a run's jobs is the same whatever their I/Os are. */
export class EngineJobs {
  readonly gate: StartGate;
  readonly #rampGate: StartGate;
  readonly #plan: RunPlan;
  readonly #runtimeNs: number | null;

  /** `jobs`: how many there will be; `runtime`: seconds, null where no time ends the run. */
  constructor(plan: RunPlan, jobs: number, runtime: number | null) {
    this.#plan = plan;
    this.#runtimeNs = runtime === null ? null : runtime * 1e9;
    this.gate = StartGate.create(jobs);
    this.#rampGate = StartGate.create(jobs + 1);
  }

  /** Of the job with that number. */
  open(index: number, control: ControlBlock): EngineJob {
    const { rampTime = 0, rateIops = null, recordLatency = true, cpus = [] } = this.#plan;
    return {
      rampNs: rampTime * 1e9,
      runtimeNs: this.#runtimeNs,
      endsWithWork: this.#runtimeNs === null || this.#plan.timeBased === false,
      spacingNs: rateIops === null ? 0 : 1e9 / rateIops,
      recordsLatency: recordLatency,
      cpu: cpus.length === 0 ? null : cpus[index % cpus.length]!,
      control: control.buffer,
      gate: this.gate.buffer,
      rampGate: this.#rampGate.buffer,
      epoch: epoch(),
    };
  }

  /** One of them did not even begin, or has ended: the others must not wait for it. */
  release(): void {
    this.gate.open();
    this.#rampGate.open();
  }

  /**
   * Has `begin` called when what counts begins: at once, or when all jobs stand still after the ramp;
   * never where one has ended before. Call what it gives when the run is over. `begin` must not throw.
   */
  whenCounting(begin: () => void): () => void {
    if (!this.hasRamp) {
      begin();
      return () => undefined;
    }
    let timer: NodeJS.Timeout;
    const wait = (milliseconds: number): void => {
      timer = setTimeout(() => {
        const { missing } = this.#rampGate;
        if (missing > 1) wait(RAMP_POLL_MS);
        if (missing !== 1) return;
        begin();
        this.#rampGate.pass();
      }, milliseconds);
    };
    wait((this.#plan.rampTime ?? 0) * 1e3);
    return () => {
      clearTimeout(timer);
    };
  }

  get hasRamp(): boolean {
    return (this.#plan.rampTime ?? 0) > 0;
  }
}

/** How long the jobs wait for their owner at the end of the ramp, milliseconds at most, or nearly. */
const RAMP_POLL_MS = 1;
