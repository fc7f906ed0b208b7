import { tick } from "../reactor/clock.js";
import { ControlBlock } from "../reactor/control-block.js";
import type { CpuTime, EngineThread } from "../reactor/engine-job.js";
import { Pace } from "../reactor/pace.js";
import { FOREVER, type IoRing } from "./io-ring.js";
import type { KernelFailure, KernelJob, KernelOutcome } from "./job.js";
import { Requests } from "./requests.js";
import { workOf, type Work } from "./work.js";

/** How long to wait at most where a rate leaves time between I/Os: the stop flag is looked at then. */
const LOOK_NS = 50e6;

/**
 * Keeps a ring's slots full of I/Os until the time, the number or the first failure ends it. It sleeps
 * in the kernel until something has completed, takes all that has, and hands over as many anew: one
 * native call and one look at the clock a batch, nothing is allocated for an I/O. The kernel's drivers
 * end each request, in time or by their own time limits, so nothing is waited for in vain.
 */
export class KernelEngine {
  readonly #ring: IoRing;
  readonly #thread: Pick<EngineThread, "cpuTime" | "rampEnded">;
  readonly #requests: Requests;
  readonly #work: Work;
  readonly #control: ControlBlock;
  readonly #rampNs: number;
  readonly #runtimeNs: number;
  readonly #pace: Pace | null;
  readonly #isRegistered: boolean;

  /** Slots without an I/O, a ring: each has its turn, also where a rate keeps most of them idle. */
  readonly #idle: Int32Array;
  #idleHead = 0;
  #idleCount: number;

  /** Times are in arrays, since numbers of their size make garbage where they are passed on. */
  readonly #seen = new Float64Array(1);
  readonly #lastSeen = new Float64Array(1);

  #isWarm = false;
  #closing = false;
  #failure: KernelFailure | null = null;
  #began = 0;
  /** When the ramp ends, then when the run does. */
  #deadline = 0;
  #cpuBefore: CpuTime = { userNs: 0, systemNs: 0 };
  #inFlight = 0;
  /** Since the ramp. */
  #ios = 0;
  #bytes = 0;
  #allBytes = 0;

  /** `address`: of the slots' memory; `isRegistered`: the ring has it registered, slot by slot. */
  constructor(
    job: KernelJob,
    ring: IoRing,
    address: number,
    isRegistered: boolean,
    thread: Pick<EngineThread, "cpuTime" | "rampEnded">,
  ) {
    this.#ring = ring;
    this.#thread = thread;
    this.#requests = new Requests(ring, job.slots, address, job.stride, isRegistered);
    this.#work = workOf(job, this.#requests);
    this.#control = new ControlBlock(job.control);
    this.#rampNs = job.rampNs;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#pace = job.spacingNs === 0 ? null : new Pace(job.spacingNs);
    this.#isRegistered = isRegistered;
    this.#idle = Int32Array.from({ length: job.slots }, (_, slot) => slot);
    this.#idleCount = job.slots;
  }

  /** To the end, and until nothing is in flight. Errors: those of IoRing.enter(). */
  run(): KernelOutcome {
    tick(this.#seen);
    this.#lastSeen[0] = this.#seen[0]!;
    this.#deadline = this.#seen[0]! + this.#rampNs;
    this.#work.reset(true);
    this.#pace?.start(this.#seen);
    this.#look();
    this.#fill();
    while (this.#inFlight > 0 || !this.#closing) {
      this.#ring.enter(1, this.#patience());
      this.#collect();
      this.#look();
      this.#fill();
    }
    const cpu = this.#thread.cpuTime();
    return {
      ios: this.#ios,
      bytes: this.#bytes,
      targets: this.#work.counts(),
      allBytes: this.#allBytes,
      runtimeNs: this.#isWarm ? this.#lastSeen[0] - this.#began : 0,
      cpu: {
        userNs: cpu.userNs - this.#cpuBefore.userNs,
        systemNs: cpu.systemNs - this.#cpuBefore.systemNs,
      },
      isRegistered: this.#isRegistered,
      failure: this.#failure,
    };
  }

  /** How long nothing but a completion can give something to do, nanoseconds. */
  #patience(): number {
    const pace = this.#pace;
    if (pace === null || this.#closing || this.#isDraining() || this.#idleCount === 0)
      return FOREVER;
    const untilDeadline = Math.max(0, this.#deadline - this.#seen[0]!);
    return Math.min(pace.untilDue(this.#seen), untilDeadline, LOOK_NS);
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

  /**
   * As of all engines: what counts begins with nothing in flight. No private getter: V8 calls its runtime
   * for each use of one.
   */
  #isDraining(): boolean {
    return !this.#isWarm && this.#seen[0]! >= this.#deadline;
  }

  #endRamp(): void {
    if (this.#rampNs > 0) {
      this.#thread.rampEnded();
      tick(this.#seen);
    }
    this.#work.reset(false);
    this.#isWarm = true;
    this.#began = this.#seen[0]!;
    this.#deadline = this.#began + this.#runtimeNs;
    this.#lastSeen[0] = this.#began;
    this.#pace?.start(this.#seen);
    this.#cpuBefore = this.#thread.cpuTime();
    this.#ios = 0;
    this.#bytes = 0;
  }

  /** Begins I/Os in the slots that have none, as far as rate and work allow. */
  #fill(): void {
    while (this.#idleCount > 0 && !this.#closing && !this.#isDraining()) {
      if (this.#work.isDone) this.#closing = true;
      else if (this.#pace !== null && !this.#pace.isDue(this.#seen)) return;
      else this.#begin();
    }
  }

  /** In the next idle slot; one whose target has no work left is idle no more, and has nothing to do. */
  #begin(): void {
    const slot = this.#idle[this.#idleHead]!;
    this.#idleHead = (this.#idleHead + 1) % this.#idle.length;
    this.#idleCount--;
    if (!this.#work.begin(slot, this.#seen)) return;
    this.#pace?.spend(this.#seen);
    this.#inFlight++;
  }
}
