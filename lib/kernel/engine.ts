import { tick } from "../reactor/clock.js";
import { ControlBlock } from "../reactor/control-block.js";
import { FOREVER, type IoRing } from "./io-ring.js";
import type { KernelFailure, KernelJob, KernelOutcome } from "./job.js";
import { Requests } from "./requests.js";
import { workOf, type Work } from "./work.js";

/** How long to wait at most where a rate leaves time between I/Os: the stop flag is looked at then. */
const LOOK_NS = 50e6;

/** What the engine asks of its thread. */
export interface EngineThread {
  threadCpuTime(): { user: number; system: number };
}

/**
 * Keeps a ring's slots full of I/Os until the time, the number or the first failure ends it. It sleeps
 * in the kernel until something has completed, takes all that has, and hands over as many anew: one
 * native call and one look at the clock a batch, nothing is allocated for an I/O. The kernel's drivers
 * end each request, in time or by their own time limits, so nothing is waited for in vain.
 */
export class KernelEngine {
  readonly #ring: IoRing;
  readonly #thread: EngineThread;
  readonly #requests: Requests;
  readonly #work: Work;
  readonly #control: ControlBlock;
  readonly #rampNs: number;
  readonly #runtimeNs: number;
  readonly #limit: number;
  readonly #intervalNs: number;
  readonly #isRegistered: boolean;

  /** Slots without an I/O, a ring: each has its turn, also where a rate keeps most of them idle. */
  readonly #idle: Int32Array;
  #idleHead = 0;
  #idleCount: number;

  /** Times are in arrays, since numbers of their size make garbage where they are passed on. */
  readonly #seen = new Float64Array(1);
  readonly #lastSeen = new Float64Array(1);
  /** When the next I/O may begin. */
  readonly #due = new Float64Array(1);

  #isWarm = false;
  #closing = false;
  #failure: KernelFailure | null = null;
  #began = 0;
  /** When the ramp ends, then when the run does. */
  #deadline = 0;
  #cpuBefore = { user: 0, system: 0 };
  #inFlight = 0;
  /** Since the ramp, and what was in flight at its end. */
  #begun = 0;
  #ios = 0;
  #bytes = 0;
  #allBytes = 0;

  /** `address`: of the slots' memory; `isRegistered`: the ring has it registered, slot by slot. */
  constructor(
    job: KernelJob,
    ring: IoRing,
    address: number,
    isRegistered: boolean,
    thread: EngineThread,
  ) {
    this.#ring = ring;
    this.#thread = thread;
    this.#requests = new Requests(ring, job.slots, address, job.stride, isRegistered);
    this.#work = workOf(job, this.#requests);
    this.#control = new ControlBlock(job.control);
    this.#rampNs = job.rampNs;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#limit = job.ios ?? Infinity;
    this.#intervalNs = job.intervalNs;
    this.#isRegistered = isRegistered;
    this.#idle = Int32Array.from({ length: job.slots }, (_, slot) => slot);
    this.#idleCount = job.slots;
  }

  /** To the end, and until nothing is in flight. Errors: those of IoRing.enter(). */
  run(): KernelOutcome {
    tick(this.#seen);
    this.#due[0] = this.#seen[0]!;
    this.#lastSeen[0] = this.#seen[0]!;
    this.#deadline = this.#seen[0]! + this.#rampNs;
    this.#look();
    this.#fill();
    while (this.#inFlight > 0 || !this.#closing) {
      this.#ring.enter(1, this.#patience());
      this.#collect();
      this.#look();
      this.#fill();
    }
    const cpu = this.#thread.threadCpuTime();
    return {
      ios: this.#ios,
      bytes: this.#bytes,
      targets: this.#work.counts(),
      allBytes: this.#allBytes,
      runtimeNs: this.#isWarm ? this.#lastSeen[0] - this.#began : 0,
      cpu: {
        userNs: cpu.user - this.#cpuBefore.user,
        systemNs: cpu.system - this.#cpuBefore.system,
      },
      isRegistered: this.#isRegistered,
      failure: this.#failure,
    };
  }

  /** How long nothing but a completion can give something to do, nanoseconds. */
  #patience(): number {
    if (this.#closing || this.#isDraining || this.#idleCount === 0) return FOREVER;
    const seen = this.#seen[0]!;
    return Math.max(0, Math.min(this.#due[0]! - seen, this.#deadline - seen, LOOK_NS));
  }

  #collect(): void {
    const ring = this.#ring;
    tick(this.#seen);
    for (let slot = ring.next(); slot >= 0; slot = ring.next()) {
      this.#lastSeen[0] = this.#seen[0]!;
      const length = this.#requests.lengthOf(slot);
      if (ring.result !== length) {
        this.#failure ??= this.#requests.failure(slot, ring.result);
        this.#closing = true;
      } else if (this.#failure === null) {
        if (!this.#work.end(slot, this.#seen)) continue;
        this.#ios++;
        this.#bytes += length;
        this.#allBytes += length;
      }
      this.#inFlight--;
      this.#idle[(this.#idleHead + this.#idleCount++) % this.#idle.length] = slot;
    }
    this.#control.bytes = this.#bytes;
  }

  /** Stop flag, end of the ramp, end of the time. */
  #look(): void {
    if (this.#control.isStopping) this.#closing = true;
    if (this.#seen[0]! < this.#deadline) return;
    if (this.#isWarm) this.#closing = true;
    else if (this.#inFlight === 0) this.#endRamp();
  }

  /** As of all engines: what counts begins with nothing in flight. */
  get #isDraining(): boolean {
    return !this.#isWarm && this.#seen[0]! >= this.#deadline;
  }

  #endRamp(): void {
    this.#work.forget();
    this.#isWarm = true;
    this.#began = this.#seen[0]!;
    this.#deadline = this.#began + this.#runtimeNs;
    this.#lastSeen[0] = this.#began;
    this.#due[0] = this.#began;
    this.#cpuBefore = this.#thread.threadCpuTime();
    this.#begun = 0;
    this.#ios = 0;
    this.#bytes = 0;
  }

  /** Begins I/Os in the slots that have none, as far as rate and number allow. */
  #fill(): void {
    while (this.#idleCount > 0 && !this.#closing && !this.#isDraining) {
      if (this.#isWarm && this.#begun >= this.#limit) this.#closing = true;
      else if (this.#intervalNs > 0 && this.#seen[0]! < this.#due[0]!) return;
      else this.#begin();
    }
  }

  #begin(): void {
    if (this.#intervalNs > 0) {
      // What a slow device fell behind is not made up for by more than the slots hold.
      const earliest = this.#seen[0]! - this.#idle.length * this.#intervalNs;
      this.#due[0] = Math.max(this.#due[0]!, earliest) + this.#intervalNs;
    }
    const slot = this.#idle[this.#idleHead]!;
    this.#idleHead = (this.#idleHead + 1) % this.#idle.length;
    this.#idleCount--;
    this.#inFlight++;
    this.#begun++;
    this.#work.begin(slot, this.#seen);
  }
}
