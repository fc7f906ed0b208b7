import type { QueuePair } from "../nvme/queues/queue-pair.js";
import { IoOpcode } from "../nvme/spec.js";
import { tick } from "../reactor/clock.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Flight } from "../reactor/flight.js";
import { IDLE_POLLS, YIELD_POLLS } from "../reactor/idle.js";
import { tellsMore, Watchdog } from "../reactor/watchdog.js";
import type { PerfCommand, PerfFailure, PerfJob, PerfOutcome } from "./job.js";
import { Lane, Target } from "./lane.js";

/** How often to look at the stop flag and the like while completions come, nanoseconds. */
const LOOK_NS = 10e6;

/**
 * Keeps each lane's slots full of I/Os until the time is over, and counts what they took. It neither
 * allocates nor calls native code for an I/O; for a batch that has completed there are two looks at the
 * clock and one store to the submission doorbell.
 *
 * run() polls to the end; its steps can be taken one by one as well: begin(), then poll() until isDone.
 */
export class PerfEngine {
  readonly #targets: readonly Target[];
  readonly #lanes: readonly Lane[];
  readonly #control: ControlBlock;
  readonly #flight: Flight;
  readonly #watchdog: Watchdog;
  readonly #yield: () => void;
  readonly #ioBytes: number;
  readonly #warmupNs: number;
  readonly #runtimeNs: number;

  /**
   * When completions were seen, and were done with. Times do not go from function to function as
   * numbers: see tick().
   */
  readonly #seen = new Float64Array(1);
  readonly #done = new Float64Array(1);
  /** Nanoseconds of rounds that found something; in an array since a field of its kind makes garbage. */
  readonly #busyNs = new Float64Array(1);
  /** When a completion was last seen. */
  readonly #lastSeen = new Float64Array(1);

  #isWarm = false;
  #closing = false;
  /** Something overdue is seen to: nothing may be submitted meanwhile. */
  #isHolding = false;
  #failure: PerfFailure | null = null;
  #started = 0;
  /** When the warm-up ended. */
  #began = 0;
  /** When the warm-up ends, then when the run does. */
  #deadline = 0;
  #nextLook = 0;
  #ios = 0;

  /** `queues`: by target and lane, as the job has them. `yieldProcessor`: lets another thread run. */
  constructor(job: PerfJob, queues: readonly QueuePair[][], yieldProcessor: () => void) {
    this.#yield = yieldProcessor;
    this.#control = new ControlBlock(job.control);
    this.#ioBytes = job.ioBytes;
    this.#warmupNs = job.warmupNs;
    this.#runtimeNs = job.runtimeNs;
    this.#targets = job.targets.map((target) => new Target(target));
    const lanes: Lane[] = [];
    let slots = 0;
    for (const [index, target] of this.#targets.entries())
      for (const [n, lane] of job.targets[index]!.lanes.entries()) {
        lanes.push(new Lane(target, lanes.length, lane, queues[index]![n]!, slots, job.seed));
        slots += lane.slots;
      }
    this.#lanes = lanes;
    this.#flight = new Flight(slots);
    this.#watchdog = new Watchdog(this.#control, this.#flight, lanes);
  }

  /** Runs to the end of the time, the stop flag or the first failure, and until nothing is in flight. */
  run(): PerfOutcome {
    this.begin();
    let idle = 0;
    while (!this.isDone) {
      if (this.poll()) idle = 0;
      else if (++idle % IDLE_POLLS === 0) {
        this.look();
        if (idle >= YIELD_POLLS) this.#yield();
      }
    }
    return this.outcome();
  }

  /** Submits the first I/O of each slot. */
  begin(): void {
    tick(this.#seen);
    const began = this.#seen[0]!;
    this.#started = began;
    this.#began = began;
    this.#lastSeen[0] = began;
    this.#isWarm = this.#warmupNs === 0;
    this.#deadline = began + (this.#isWarm ? this.#runtimeNs : this.#warmupNs);
    this.#nextLook = Math.min(this.#deadline, began + LOOK_NS);
    this.#closing = this.#control.isStopping;
    this.#beginIdle();
    this.#finishRound();
  }

  /** Takes what has completed on any lane, and begins as many I/Os; false where nothing has. */
  poll(): boolean {
    const lanes = this.#lanes;
    let found = false;
    for (let i = 0; i < lanes.length; i++) if (this.#collect(lanes[i]!)) found = true;
    return found;
  }

  /** Nothing is in flight any more: what will not complete counts as over when the owner says so. */
  get isDone(): boolean {
    return this.#flight.commands === 0;
  }

  /** To be called now and then while nothing completes. */
  look(): void {
    tick(this.#seen);
    if (this.#seen[0]! >= this.#nextLook) this.#lookAround();
  }

  outcome(): PerfOutcome {
    return {
      runtimeNs: this.#isWarm ? this.#lastSeen[0]! - this.#began : 0,
      elapsedNs: this.#lastSeen[0]! - this.#started,
      busyNs: this.#busyNs[0]!,
      failure: this.#failure,
    };
  }

  #collect(lane: Lane): boolean {
    const queue = lane.queue;
    let cookie = lane.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.#seen);
    const flight = this.#flight;
    const shift = lane.commandShift;
    let taken = 0;
    let begun = false;
    do {
      if (queue.status !== 0) this.#fail(lane, cookie);
      const slot = cookie >>> shift;
      taken++;
      if (flight.end(slot)) {
        lane.record(slot, this.#seen);
        this.#ios++;
        if (!this.#closing && !this.#isHolding) {
          this.#submit(lane, slot);
          begun = true;
        }
      }
      cookie = queue.next();
    } while (cookie >= 0);
    // First what the device waits for.
    if (begun) queue.ring();
    lane.acknowledge(taken);
    this.#lastSeen[0] = this.#seen[0]!;
    // What is held back waits for the one that is overdue, and its end is to be told.
    if (this.#isHolding || this.#seen[0]! >= this.#nextLook) this.#lookAround();
    this.#finishRound();
    return true;
  }

  #finishRound(): void {
    tick(this.#done);
    this.#busyNs[0]! += this.#done[0]! - this.#seen[0]!;
  }

  /** Begins an I/O in each slot that has none. */
  #beginIdle(): void {
    if (this.#closing) return;
    for (const lane of this.#lanes) {
      let begun = false;
      for (let slot = lane.firstSlot; slot < lane.firstSlot + lane.slots; slot++) {
        if (!this.#flight.isIdle(slot)) continue;
        this.#submit(lane, slot);
        begun = true;
      }
      if (begun) lane.queue.ring();
    }
  }

  /** All commands of the next I/O in `slot`. */
  #submit(lane: Lane, slot: number): void {
    const { target, queue, pointers } = lane;
    const commands = target.commands;
    const opcode = lane.random.next() >>> 0 < target.readBelow ? IoOpcode.READ : IoOpcode.WRITE;
    const io = target.isRandom ? lane.random.below(target.ios) : target.nextIo();
    let lba = target.lba + io * target.ioBlocks;
    const own = slot - lane.firstSlot;
    const command = opcode | lane.flags;
    lane.opcode[own] = opcode;
    lane.firstLba[own] = lba;
    lane.begun[own] = this.#seen[0]!;
    let left = target.ioBlocks;
    let cookie = slot << lane.commandShift;
    const end = (own + 1) * commands * 4;
    for (let word = own * commands * 4; word < end; word += 4) {
      const blocks = left < target.commandBlocks ? left : target.commandBlocks;
      queue.submit(
        command,
        target.nsid,
        lba,
        blocks,
        pointers[word]!,
        pointers[word + 1]!,
        pointers[word + 2]!,
        pointers[word + 3]!,
        cookie,
      );
      cookie++;
      lba += blocks;
      left -= blocks;
    }
    this.#flight.begin(slot, lane.index, commands, this.#seen[0]!);
  }

  /** Now and then, also while completions come: stop flag, end of the warm-up or the time, devices. */
  #lookAround(): void {
    const time = this.#seen[0]!;
    if (this.#control.isStopping) this.#closing = true;
    if (time >= this.#deadline) {
      if (this.#isWarm) this.#closing = true;
      else this.#endWarmUp(time);
    }
    this.#control.bytes = this.#ios * this.#ioBytes;
    this.#nextLook = time + LOOK_NS;
    if (time < this.#deadline && this.#deadline < this.#nextLook) this.#nextLook = this.#deadline;
    if (time >= this.#watchdog.next) this.#watch(time);
  }

  /** What is in flight now is counted when it completes, with all the time that it took. */
  #endWarmUp(time: number): void {
    for (const target of this.#targets) target.forget();
    this.#isWarm = true;
    this.#began = time;
    this.#deadline = time + this.#runtimeNs;
    this.#busyNs[0] = 0;
    this.#ios = 0;
  }

  /** Is there still someone to wait for? */
  #watch(time: number): void {
    const watchdog = this.#watchdog;
    const isReleased = watchdog.look(time);
    this.#isHolding = watchdog.isHolding;
    const { failure } = watchdog;
    if (failure !== null) {
      for (const lane of this.#lanes) lane.isLost = watchdog.isDead(lane.index);
      if (failure.kind === "timeout") this.#timeOut(this.#lanes[failure.queue]!);
      else this.#giveUp(failure);
    }
    if (isReleased) this.#beginIdle();
  }

  #fail(lane: Lane, cookie: number): void {
    const { index: queue } = lane;
    const { status } = lane.queue;
    if (this.#watchdog.isEndOfOverdue(queue, status)) this.#timeOut(lane);
    else this.#giveUp({ kind: "status", queue, status, ...this.#commandOf(lane, cookie) });
  }

  /** The command that was overdue has not completed in time. */
  #timeOut(lane: Lane): void {
    const command = this.#commandOf(lane, this.#watchdog.overdueCookie);
    this.#giveUp({ kind: "timeout", queue: lane.index, ...command });
  }

  /** Keeps the failure that tells most; nothing new begins, what is in flight is waited for. */
  #giveUp(failure: PerfFailure): void {
    this.#closing = true;
    if (tellsMore(failure, this.#failure)) this.#failure = failure;
  }

  #commandOf(lane: Lane, cookie: number): PerfCommand {
    const { target, commandShift, firstSlot } = lane;
    const slot = cookie >>> commandShift;
    const skipped = (cookie - (slot << commandShift)) * target.commandBlocks;
    return {
      command: lane.opcode[slot - firstSlot] === IoOpcode.READ ? "Read" : "Write",
      lba: lane.firstLba[slot - firstSlot]! + skipped,
      blocks: Math.min(target.commandBlocks, target.ioBlocks - skipped),
    };
  }
}
