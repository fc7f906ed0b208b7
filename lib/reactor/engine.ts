import { P2pError } from "../errors.js";
import type { QueuePair } from "../nvme/queues/queue-pair.js";
import { since, tick } from "./clock.js";
import { ControlBlock } from "./control-block.js";
import type {
  CpuTime,
  EngineCommand,
  EngineFailure,
  EngineJob,
  EngineOutcome,
  EngineThread,
} from "./engine-job.js";
import { Flight } from "./flight.js";
import { IDLE_POLLS, YIELD_POLLS } from "./idle.js";
import { Pace } from "./pace.js";
import { tellsMore, Watchdog } from "./watchdog.js";

/** How often to look at the stop flag and the like while completions come, nanoseconds. */
const LOOK_NS = 10e6;

/** A poll that looks at the clock, in polls that do not: a part of IDLE_POLLS. */
const PACED_POLL = 8;

/** One of an engine's queues. */
export interface EngineQueue {
  readonly queue: QueuePair;
  /** A cookie is a slot's number, shifted by so many bits, plus the number of the command in it. */
  readonly commandShift: number;
  /** How long a command may take, nanoseconds. */
  readonly timeoutNs: number;
  /** Nothing comes from the queue any more. */
  isLost: boolean;
}

/**
 * What all poll loops do, whatever their I/Os are: first those of the ramp, if there is one, until
 * nothing is in flight, then those that count, to the end of the time or of the work, the stop flag or
 * the first failure, and until nothing is in flight. What will not complete counts as over when the
 * owner of the run says so.
 *
 * What runs for each I/O is the subclasses', so that each has loops of one shape; what is here runs for
 * a poll round, or less often.
 *
 * A subclass's run() polls to the end; its steps can be taken one by one as well: start(), then poll()
 * until isDone, and the same again while goOn() says so.
 */
export abstract class Engine {
  protected readonly control: ControlBlock;
  protected readonly flight: Flight;
  protected readonly watchdog: Watchdog;
  /** False where begun I/Os are spaced, and where something overdue is seen to. */
  protected isFlowing = false;
  /** When completions were seen. Times do not go from function to function as numbers: see tick(). */
  protected readonly seen = new Float64Array(1);
  /** Nothing more is begun. */
  protected closing = false;
  /** What is done now does not count. */
  protected isRamping = false;

  readonly #thread: EngineThread;
  readonly #queues: readonly EngineQueue[];
  readonly #pace: Pace | null;
  readonly #rampNs: number;
  readonly #runtimeNs: number;
  readonly #epoch: number;
  readonly #yieldsAtOnce: boolean;
  /** When a round was done with. */
  readonly #done = new Float64Array(1);
  /** Nanoseconds of rounds that found something; in an array since a field of its kind makes garbage. */
  readonly #busyNs = new Float64Array(1);
  readonly #began = new Float64Array(1);
  readonly #lastSeen = new Float64Array(1);
  readonly #deadline = new Float64Array(1);
  readonly #nextLook = new Float64Array(1);
  #cpuBefore: CpuTime = { userNs: 0, systemNs: 0 };
  #hasRamped = false;
  #failure: EngineFailure | null = null;
  /** Where to look for a slot without I/O. */
  #nextIdle = 0;

  constructor(job: EngineJob, slots: number, queues: readonly EngineQueue[], thread: EngineThread) {
    this.#thread = thread;
    this.#queues = queues;
    this.#rampNs = job.rampNs;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#pace = job.spacingNs === 0 ? null : new Pace(job.spacingNs);
    this.#epoch = job.epoch;
    this.#yieldsAtOnce = job.yieldsAtOnce ?? false;
    this.control = new ControlBlock(job.control);
    this.flight = new Flight(slots);
    this.watchdog = new Watchdog(this.control, this.flight, queues);
  }

  /** Takes what has completed on any queue, and begins as much; false where nothing has. */
  abstract poll(): boolean;

  /** Submits all commands of the next I/O in `slot`, or none where there is nothing more to begin. */
  protected abstract begin(slot: number): boolean;

  /** Forgets what was counted, and begins at the start, with as much to do as the job says. */
  protected abstract reset(): void;

  /** Bytes that were moved since. */
  protected abstract get bytes(): number;

  protected abstract commandOf(queue: number, cookie: number): EngineCommand;

  /** What a poll that finds nothing takes, in polls that look at NVMe queues alone: see IDLE_POLLS. */
  protected get pollWeight(): number {
    return 1;
  }

  /** Whether an I/O may begin in `slot`: to be asked now and then. */
  protected isIdle(slot: number): boolean {
    return this.flight.isIdle(slot);
  }

  /** To the end of ramp and run. */
  protected runAll(): void {
    this.start();
    do this.#drive();
    while (this.goOn());
  }

  /** Once isDone: begins what counts, if that was the ramp; false where all is over. */
  goOn(): boolean {
    if (!this.isRamping || this.hasFailed || this.control.isStopping) return false;
    this.#thread.rampEnded();
    this.start();
    return true;
  }

  /** Begins the ramp, or what counts. */
  start(): void {
    this.isRamping = this.#rampNs > 0 && !this.#hasRamped;
    this.#hasRamped = true;
    this.closing = this.control.isStopping;
    this.isFlowing = this.#pace === null;
    this.reset();
    this.#cpuBefore = this.#thread.cpuTime();
    tick(this.seen);
    const began = this.seen[0]!;
    this.#began[0] = began;
    this.#lastSeen[0] = began;
    this.#deadline[0] = began + (this.isRamping ? this.#rampNs : this.#runtimeNs);
    this.#nextLook[0] = Math.min(this.#deadline[0], began + LOOK_NS);
    this.#busyNs[0] = 0;
    if (this.#pace === null) this.beginIdle();
    else this.#pace.start(this.seen);
    this.finishRound();
  }

  /** Nothing is in flight any more, and nothing will be. */
  get isDone(): boolean {
    return this.flight.commands === 0 && (this.#pace === null || this.closing);
  }

  /** To be called now and then while nothing completes. */
  look(): void {
    tick(this.seen);
    if (this.watchdog.isHolding || this.seen[0]! >= this.#nextLook[0]!) this.#lookAround();
  }

  protected outcomeSoFar(): EngineOutcome {
    const { userNs, systemNs } = this.#thread.cpuTime();
    this.control.bytes = this.bytes;
    return {
      beganNs: since(this.#epoch, this.#began[0]!),
      endedNs: since(this.#epoch, this.#lastSeen[0]!),
      busyNs: this.#busyNs[0]!,
      cpu: {
        userNs: userNs - this.#cpuBefore.userNs,
        systemNs: systemNs - this.#cpuBefore.systemNs,
      },
      failure: this.#failure,
    };
  }

  protected get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** At the end of a round that found something at the time `seen`. */
  protected endRound(): void {
    this.#lastSeen[0] = this.seen[0]!;
    // What is held back waits for the one that is overdue, and its end is to be told.
    if (this.watchdog.isHolding || this.seen[0]! >= this.#nextLook[0]!) this.#lookAround();
    this.finishRound();
  }

  protected finishRound(): void {
    tick(this.#done);
    this.#busyNs[0]! += this.#done[0]! - this.seen[0]!;
  }

  /** Says how far it is, to whoever watches. */
  protected publish(): void {
    this.control.bytes = this.isRamping ? 0 : this.bytes;
  }

  /** Begins an I/O in each slot that has none, as far as there are any. */
  protected beginIdle(): void {
    let last = -1;
    for (let slot = 0; slot < this.flight.slots; slot++) {
      if (!this.isIdle(slot) || !this.begin(slot)) continue;
      const queue = this.flight.queueOf(slot);
      if (last >= 0 && queue !== last) this.#queues[last]!.queue.ring();
      last = queue;
    }
    if (last >= 0) this.#queues[last]!.queue.ring();
  }

  /** What was overdue has ended after all: goes on with what was held back for it. */
  protected resume(): void {
    if (this.isFlowing) this.beginIdle();
  }

  /** A command has completed with a status other than success. */
  protected fail(queue: number, status: number, cookie: number): void {
    if (this.watchdog.isEndOfOverdue(queue, status)) this.#timeOut(queue);
    else this.#giveUp({ kind: "status", queue, status, ...this.commandOf(queue, cookie) });
  }

  /** Something that this side had to do has failed. */
  protected failFor(error: unknown): void {
    const known = error instanceof P2pError;
    this.#giveUp({
      kind: "error",
      code: known ? error.code : "INTERNAL",
      message: error instanceof Error ? error.message : String(error),
      hint: known ? (error.hint ?? "") : "",
    });
  }

  #drive(): void {
    // With a look at the clock a poll takes longer.
    const step = Math.max(this.pollWeight, this.#pace === null ? 1 : PACED_POLL);
    let idle = 0;
    while (!this.isDone) {
      const found = this.poll();
      if ((this.#pace !== null && this.#beginDue(this.#pace)) || found) idle = 0;
      else if ((idle += step) % IDLE_POLLS === 0) {
        this.look();
        if (idle >= YIELD_POLLS) this.#thread.yieldProcessor();
      } else if (this.#yieldsAtOnce) this.#thread.yieldProcessor();
    }
  }

  /** Begins the next I/O if its time has come, and a slot is there; false where nothing was begun. */
  #beginDue(pace: Pace): boolean {
    if (this.closing || this.watchdog.isHolding) return false;
    tick(this.seen);
    if (this.seen[0]! >= this.#deadline[0]!) this.closing = true;
    if (!pace.isDue(this.seen)) return false;
    const slot = this.#findIdle();
    if (slot < 0 || !this.begin(slot)) return false;
    pace.spend(this.seen);
    this.#queues[this.flight.queueOf(slot)]!.queue.ring();
    this.finishRound();
    return true;
  }

  #findIdle(): number {
    const { flight } = this;
    for (let tried = 0; tried < flight.slots; tried++) {
      const slot = this.#nextIdle;
      this.#nextIdle = slot + 1 === flight.slots ? 0 : slot + 1;
      if (this.isIdle(slot)) return slot;
    }
    return -1;
  }

  /** Now and then, also while completions come: stop flag, end of the time, devices. */
  #lookAround(): void {
    const time = this.seen[0]!;
    if (this.control.isStopping || time >= this.#deadline[0]!) this.closing = true;
    this.publish();
    const next = time + LOOK_NS;
    const deadline = this.#deadline[0]!;
    this.#nextLook[0] = time < deadline && deadline < next ? deadline : next;
    if (time >= this.watchdog.next) this.#watch(time);
  }

  /** Is there still someone to wait for? */
  #watch(time: number): void {
    const { watchdog } = this;
    const isReleased = watchdog.look(time);
    this.isFlowing = this.#pace === null && !watchdog.isHolding;
    const { failure } = watchdog;
    if (failure !== null) {
      for (let i = 0; i < this.#queues.length; i++) this.#queues[i]!.isLost = watchdog.isDead(i);
      if (failure.kind === "timeout") this.#timeOut(failure.queue);
      else this.#giveUp(failure);
    }
    if (isReleased) this.resume();
  }

  /** The command that was overdue has not completed in time. */
  #timeOut(queue: number): void {
    const command = this.commandOf(queue, this.watchdog.overdueCookie);
    this.#giveUp({ kind: "timeout", queue, ...command });
  }

  /** Keeps the failure that tells most; nothing new begins, what is in flight is waited for. */
  #giveUp(failure: EngineFailure): void {
    this.closing = true;
    if (tellsMore(failure, this.#failure)) this.#failure = failure;
  }
}
