import { readTime, tick } from "../../reactor/clock.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import type { InlineAddress } from "../../rdma/memory-region.js";
import { SendFlag } from "../../rdma/spec.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import { Loop, LOOKS } from "./loop.js";
import { placeBytes, placesOf } from "./places.js";
import type { LaneQueues, LoopCompletionQueue } from "./queues.js";

/** Requests that are posted in one call, at most: the device is at work on them while the next are written. */
const BURST = 16;

/**
 * Keeps as many requests in flight as the depth allows, on each lane: posts all that there is room for when
 * a completion has told of it. Each `cqMod`-th asks for one, and the last.
 */
export class Sender extends Loop {
  readonly #lanes: readonly LaneQueues[];
  readonly #jobs: readonly LaneJob[];
  readonly #completions: LoopCompletionQueue;
  readonly #placeBytes: number;
  readonly #places: number;
  /** By lane: requests posted, and completed. */
  readonly #sent: Float64Array;
  readonly #done: Float64Array;
  /** Of each lane: requests of this part of the test, and of those before. */
  #limit = 0;
  #before = 0;
  #posted = 0;
  #completed = 0;
  #isClosing = false;

  constructor(
    job: RdmaPerfJob,
    lanes: readonly LaneQueues[],
    completions: LoopCompletionQueue,
    thread: EngineThread,
  ) {
    super(job, thread);
    this.#lanes = lanes;
    this.#jobs = job.lanes;
    this.#completions = completions;
    this.#placeBytes = placeBytes(job.size);
    this.#places = placesOf(job.size);
    this.#sent = new Float64Array(lanes.length);
    this.#done = new Float64Array(lanes.length);
  }

  run(): RdmaPerfOutcome {
    const { warmUp, iterations, keepsTimes } = this.job;
    // Also of the warm-up: V8 would compile the loop anew when the first that counts are kept.
    if (keepsTimes) {
      const messages = iterations! * this.#lanes.length;
      this.posted = new Float64Array(messages);
      this.completed = new Float64Array(messages);
    }
    if (warmUp > 0) {
      this.#start(warmUp);
      this.#drive();
    }
    this.#start(iterations ?? Infinity);
    tick(this.clock);
    this.sampler.begin(this.clock);
    if (this.failure === null) this.#drive();
    return this.outcome(this.#completed, this.#before + Math.min(...this.#sent));
  }

  #start(limit: number): void {
    this.#sent.fill(0);
    this.#done.fill(0);
    this.#before += this.#limit;
    this.#limit = limit;
    this.#posted = 0;
    this.#completed = 0;
    this.posted?.fill(NaN);
    this.completed?.fill(NaN);
  }

  #drive(): void {
    const total = this.#limit * this.#lanes.length;
    for (let lane = 0; lane < this.#lanes.length; lane++) this.#fill(lane);
    while (this.#completed < (this.#isClosing ? this.#posted : total)) {
      const found = this.#completions.poll(this.#posted - this.#completed, LOOKS);
      if (found === 0) {
        if (!this.wait()) return;
        continue;
      }
      this.came();
      if (!this.#take(found)) return;
    }
  }

  /** False where one has failed. */
  #take(found: number): boolean {
    const completions = this.#completions;
    readTime(completions.polledAt, this.clock);
    for (let i = 0; i < found; i++) {
      if (!this.isWell(completions, i, false)) return false;
      const lane = completions.tag(i);
      const done = this.#sent[lane]! - this.#lanes[lane]!.queuePair.sends.inFlight;
      this.#completed += done - this.#done[lane]!;
      this.#done[lane] = done;
    }
    if (this.completed !== null) this.completed[this.#completed - 1] = this.clock[0]!;
    if (!this.#isClosing && !this.sampler.goesOn(this.#completed, this.clock)) this.#close();
    else if (!this.#isClosing) for (let i = 0; i < found; i++) this.#fill(completions.tag(i));
    return this.isWanted();
  }

  /** Posts all that a lane has room for. */
  #fill(lane: number): void {
    const sent = this.#sent[lane]!;
    const { sends, cqMod } = this.job;
    const { queuePair } = this.#lanes[lane]!;
    const end = Math.min(this.#limit, sent + sends - queuePair.sends.inFlight);
    if (end === sent) return;
    for (let number = sent; number < end; number++) {
      this.#write(lane, number, (number + 1) % cqMod === 0 || number + 1 === this.#limit);
      if (queuePair.sends.unposted === BURST) queuePair.flush();
    }
    queuePair.flush();
    // The time when there was room: never later than the first of them went out, so that no peak is too high.
    if (this.posted !== null) this.posted[this.#posted] = this.clock[0]!;
    this.#sent[lane] = end;
    this.#posted += end - sent;
  }

  #write(lane: number, number: number, isSignaled: boolean): void {
    const { opcode, size } = this.job;
    const { local, inline, lkey, remote, rkey } = this.#jobs[lane]!;
    const { sends } = this.#lanes[lane]!.queuePair;
    const offset = ((this.#before + number) % this.#places) * this.#placeBytes;
    const flags = isSignaled ? SendFlag.SIGNALED : 0;
    const to = remote + offset;
    if (inline === null) sends.write(lane, opcode, flags, local + offset, size, lkey, to, rkey);
    else sends.writeInline(lane, opcode, flags, (inline + offset) as InlineAddress, size, to, rkey);
  }

  /** The time is over: a last request of each lane tells when all before it have ended. */
  #close(): void {
    this.#isClosing = true;
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      const { queuePair } = this.#lanes[lane]!;
      const sent = this.#sent[lane]!;
      if (queuePair.sends.inFlight === 0) continue;
      this.#write(lane, sent, true);
      this.#sent[lane] = sent + 1;
      this.#posted++;
      queuePair.flush();
    }
  }
}
