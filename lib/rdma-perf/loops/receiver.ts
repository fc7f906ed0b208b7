import { readTime } from "../../reactor/clock.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import { Loop, LOOKS } from "./loop.js";
import { placeBytes, placesOf } from "./places.js";
import type { LaneQueues, LoopCompletionQueue } from "./queues.js";

/**
 * Takes the messages of a Sender, and keeps receives posted. What counts is measured from when the last
 * message of the warm-up has come: all that count came after that. Without a warm-up it begins with those
 * that come first, which a test by time leaves out (see Sampler).
 */
export class Receiver extends Loop {
  readonly #lanes: readonly LaneQueues[];
  readonly #jobs: readonly LaneJob[];
  readonly #completions: LoopCompletionQueue;
  readonly #placeBytes: number;
  readonly #places: number;
  /** By lane: receives posted. */
  readonly #posted: Float64Array;
  /** Of each lane, with the warm-up. */
  readonly #limit: number;
  #received = 0;
  #hasBegun = false;

  /** Posts receives: the other side may send as soon as this returns. */
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
    this.#posted = new Float64Array(lanes.length);
    this.#limit = job.warmUp + (job.iterations ?? Infinity);
    for (let lane = 0; lane < lanes.length; lane++) {
      for (let i = 0; i < Math.min(job.receives, this.#limit); i++) this.#write(lane);
      lanes[lane]!.queuePair.flush();
    }
  }

  run(): RdmaPerfOutcome {
    const ahead = this.job.warmUp * this.#lanes.length;
    const total = this.#limit * this.#lanes.length;
    while (this.#received < total) {
      const left = ahead - this.#received;
      const found = this.#completions.poll(left > 0 ? left : undefined, LOOKS);
      if (found === 0) {
        if (!this.wait()) break;
        continue;
      }
      this.came();
      readTime(this.#completions.polledAt, this.clock);
      if (!this.#hasBegun && found >= left) {
        this.#hasBegun = true;
        this.sampler.begin(this.clock);
      }
      if (!this.#take(found)) break;
      this.sampler.goesOn(this.#received, this.clock);
      if (!this.isWanted()) break;
    }
    return this.outcome(Math.max(0, this.#received - ahead), null);
  }

  /** False where one has failed. */
  #take(found: number): boolean {
    const completions = this.#completions;
    for (let i = 0; i < found; i++) {
      if (!this.isWell(completions, i, true)) return false;
      const lane = completions.tag(i);
      if (this.#posted[lane]! < this.#limit) this.#write(lane);
    }
    this.#received += found;
    for (let i = 0; i < found; i++) this.#lanes[completions.tag(i)]!.queuePair.flush();
    return true;
  }

  #write(lane: number): void {
    const number = this.#posted[lane]!;
    const { receive, lkey } = this.#jobs[lane]!;
    const offset = (number % this.#places) * this.#placeBytes;
    this.#lanes[lane]!.queuePair.receives.write(lane, receive + offset, this.job.size, lkey);
    this.#posted[lane] = number + 1;
  }
}
