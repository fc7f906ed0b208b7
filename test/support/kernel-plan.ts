import type { ReactorLender } from "#lib/kernel/kernel.js";
import type { KernelPlan } from "#lib/kernel/plan.js";
import { Reactor } from "#lib/reactor/reactor.js";

/** Threads for many runs: in the lab a start takes a second. */
export class KeptReactors implements ReactorLender {
  readonly #idle: Reactor[] = [];

  async withReactor<T>(use: (reactor: Reactor) => Promise<T>): Promise<T> {
    const reactor = this.#idle.pop() ?? new Reactor();
    try {
      return await use(reactor);
    } finally {
      this.#idle.push(reactor);
    }
  }

  async close(): Promise<void> {
    for (const reactor of this.#idle.splice(0)) await reactor.close();
  }
}

/** Reads of 4 KiB, one after the other, one at a time, each once, by way of ordinary memory. */
export function kernelPlan(rest: Partial<KernelPlan>): KernelPlan {
  return {
    path: "kernel-host",
    provider: null,
    rw: "read",
    sources: [],
    destination: null,
    bs: 4096,
    iodepth: 1,
    numjobs: 1,
    rwmixread: 50,
    offset: 0,
    size: null,
    runtime: null,
    loops: 1,
    rampTime: 0,
    rateIops: null,
    cpusAllowed: [],
    randseed: 1,
    allowWrite: true,
    ...rest,
  };
}
