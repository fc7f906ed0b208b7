/** Queues that keep the promises of RC, in one thread: what is posted is carried out at the flush. */
import type { LoopCompletionQueue, LoopQueuePair, LoopSends } from "#lib/rdma-perf/loops/queues.js";
import { SendFlag } from "#lib/rdma/spec.js";

interface Completion {
  tag: number;
  status: number;
  /** Sends that have ended with it; none of a receive. */
  ended: { queuePair: QueuePairModel; number: number } | null;
}

/** When something was done last, as the addon writes it. */
class Stamp {
  readonly #time = new BigUint64Array(1);
  readonly halves = new Uint32Array(this.#time.buffer);

  set(): void {
    this.#time[0] = process.hrtime.bigint();
  }
}

export class CompletionQueueModel implements LoopCompletionQueue {
  readonly waiting: Completion[] = [];
  readonly #found = new Stamp();
  readonly polledAt = this.#found.halves;
  #polled: Completion[] = [];
  /** How many a poll gives at most. */
  most = Infinity;

  poll(room = Infinity): number {
    this.#polled = this.waiting.splice(0, Math.min(room, this.most));
    for (const { ended } of this.#polled) if (ended) ended.queuePair.finished = ended.number;
    if (this.#polled.length > 0) this.#found.set();
    return this.#polled.length;
  }

  tag(index: number): number {
    return this.#polled[index]!.tag;
  }

  status(index: number): number {
    return this.#polled[index]!.status;
  }

  vendorError(): number {
    return 7;
  }
}

export interface SendModel {
  tag: number;
  opcode: number;
  flags: number;
  address: number;
  length: number;
  remote: number;
  isInline: boolean;
}

class SendsModel implements LoopSends {
  readonly written: SendModel[] = [];
  readonly records = 4;
  /** All that were ever written. */
  readonly #all: SendModel[] = [];
  readonly #handedOver = new Stamp();
  readonly postedAt = this.#handedOver.halves;
  readonly #inFlight: () => number;

  constructor(inFlight: () => number) {
    this.#inFlight = inFlight;
  }

  get inFlight(): number {
    return this.#inFlight();
  }

  get unposted(): number {
    return this.written.length;
  }

  /** What was written, which is posted now. */
  take(): SendModel[] {
    this.#handedOver.set();
    return this.written.splice(0);
  }

  write(...[tag, opcode, flags, address, length, , remote]: Parameters<LoopSends["write"]>): void {
    this.#write({ tag, opcode, flags, address, length, remote, isInline: false });
  }

  writeInline(
    ...[tag, opcode, flags, address, length, remote]: Parameters<LoopSends["writeInline"]>
  ): void {
    this.#write({ tag, opcode, flags, address, length, remote, isInline: true });
  }

  repeat(): void {
    const before = this.#all.at(-this.records);
    if (before === undefined) throw new Error("that record was never written");
    this.#write(before);
  }

  #write(send: SendModel): void {
    this.#all.push(send);
    this.written.push(send);
  }
}

export class QueuePairModel implements LoopQueuePair {
  /** All that were posted, in order. */
  readonly posted: SendModel[] = [];
  readonly receivesPosted: { tag: number; address: number; length: number }[] = [];
  /** Requests that completions have told of. */
  finished = 0;
  mostInFlight = 0;
  flushes = 0;
  /** Called for each request that is posted. */
  onSend: (send: SendModel) => void = () => undefined;
  /** The completion of request so many fails. */
  failsAt = -1;
  /** Nothing completes any more. */
  isSilent = false;
  readonly #completions: CompletionQueueModel;
  readonly #received: CompletionQueueModel;
  #taken = 0;

  constructor(completions: CompletionQueueModel, received = completions) {
    this.#completions = completions;
    this.#received = received;
  }

  readonly sends = new SendsModel(() => this.posted.length - this.finished);

  readonly receives = {
    write: (tag: number, address: number, length: number): void => {
      this.receivesPosted.push({ tag, address, length });
    },
  };

  flushSends(): void {
    this.flush();
  }

  flush(): void {
    this.flushes++;
    for (const send of this.sends.take()) {
      this.posted.push(send);
      const number = this.posted.length;
      if ((send.flags & SendFlag.SIGNALED) !== 0 && !this.isSilent) {
        const status = number === this.failsAt ? 10 : 0;
        this.#completions.waiting.push({
          tag: send.tag,
          status,
          ended: { queuePair: this, number },
        });
      }
      this.onSend(send);
    }
    this.mostInFlight = Math.max(this.mostInFlight, this.posted.length - this.finished);
  }

  /** A message of the other side arrives: into the next receive. */
  arrive(): void {
    const receive = this.receivesPosted[this.#taken++];
    if (receive === undefined) throw new Error("no receive was posted");
    this.#received.waiting.push({ tag: receive.tag, status: 0, ended: null });
  }
}
