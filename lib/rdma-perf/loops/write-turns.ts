import type { EngineThread } from "../../reactor/engine-job.js";
import type { RdmaPerfJob } from "../job.js";
import type { LoopCompletionQueue, LoopQueuePair } from "./queues.js";
import { Turns } from "./turns.js";

/** Loads of the byte that is waited for, which are a wait: half a microsecond. */
const LOADS = 1024;

/**
 * Messages that are written and answered: each side looks at the last byte of its own memory, which
 * bears the message's number, until it changes.
 */
export class WriteTurns extends Turns {
  readonly #bytes: Uint8Array;
  readonly #post: number;
  readonly #poll: number;

  /** `buffer`: host memory, see PolledMemory. */
  constructor(
    job: RdmaPerfJob,
    queuePair: LoopQueuePair,
    completions: LoopCompletionQueue,
    buffer: ArrayBuffer,
    thread: EngineThread,
  ) {
    super(job, queuePair, completions, thread);
    this.#bytes = new Uint8Array(buffer);
    this.#post = job.polled!.postOffset;
    this.#poll = job.polled!.pollOffset;
    this.#bytes[this.#poll] = 0;
    this.#mark(0);
  }

  protected take(number: number): boolean {
    const mark = (number + 1) & 0xff;
    while (!cameTo(this.#bytes, this.#poll, mark)) if (!this.wait()) return false;
    this.came();
    this.#mark(number + this.ahead);
    return true;
  }

  /** Not before the last message was answered: until then the NIC may read it once more. */
  #mark(number: number): void {
    // The native call that posts comes after: on x86-64 the NIC, or the kernel, sees this store before.
    this.#bytes[this.#post] = (number + 1) & 0xff;
  }
}

/**
 * Plain loads: on x86-64 each sees what the NIC has written. ECMAScript would let an optimiser take the
 * load out of the loop, as no store stands in it. So the loop is short: the next call loads again, since
 * wait(), which comes between, may call anything.
 */
function cameTo(bytes: Uint8Array, at: number, mark: number): boolean {
  for (let i = 0; i < LOADS; i++) if (bytes[at] === mark) return true;
  return false;
}
