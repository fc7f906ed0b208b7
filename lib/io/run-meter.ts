import type { Platform } from "../platform.js";
import type { RunPlan } from "./run-plan.js";
import { TrafficMeter, type Traffic } from "./traffic.js";

/** Measures from when what counts begins until it has ended, and has the caller's own meters do so. */
export class RunMeter {
  readonly #traffic: TrafficMeter;
  readonly #plan: RunPlan;
  readonly #stop: () => void;
  readonly #errors: unknown[] = [];

  /** `stop`: ends the run early. */
  constructor(platform: Platform, plan: RunPlan, stop: () => void) {
    this.#traffic = new TrafficMeter(platform);
    this.#plan = plan;
    this.#stop = stop;
  }

  /** Does not throw: others wait for its return. */
  begin(): void {
    try {
      this.#plan.onBegin?.();
    } catch (error) {
      this.#errors.push(error);
      this.#stop();
    }
    this.#traffic.start();
  }

  /** When no job runs any more; idempotent. */
  stop(): void {
    this.#traffic.stop();
  }

  /** All went well. Errors: what the plan's onBegin and onEnd threw. */
  end(): void {
    if (this.#errors.length > 0) throw this.#errors[0];
    this.#plan.onEnd?.();
  }

  /** Null where nothing counts: see TrafficMeter. */
  get counted(): Traffic | null {
    return this.#traffic.counted;
  }

  /** CPU time of the loopback machine's devices; null as above, and of real ones. */
  get deviceCpuNs(): number | null {
    return this.#traffic.deviceCpuNs;
  }
}
