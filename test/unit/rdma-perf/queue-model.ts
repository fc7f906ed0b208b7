/** Queues that keep the promises of RC, in one thread: what is posted is carried out at the flush. */
import type { LoopCompletionQueue, LoopQueuePair, LoopSends } from "#lib/rdma-perf/loops/queues.js";
import { SendFlag } from "#lib/rdma/spec.js";

interface Completion {
  tag: number;
  status: number;
  /** Sends that have ended with it; none of a receive. */
  ended: { queuePair: QueuePairModel; number: number } | null;
}

export class CompletionQueueModel implements LoopCompletionQueue {
  readonly waiting: Completion[] = [];
  #polled: Completion[] = [];
  /** How many a poll gives at most. */
  most = Infinity;

  poll(room = Infinity): number {
    this.#polled = this.waiting.splice(0, Math.min(room, this.most));
    for (const { ended } of this.#polled) if (ended) ended.queuePair.finished = ended.number;
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
  readonly #inFlight: () => number;

  constructor(inFlight: () => number) {
    this.#inFlight = inFlight;
  }

  get inFlight(): number {
    return this.#inFlight();
  }

  write(...[tag, opcode, flags, address, length, , remote]: Parameters<LoopSends["write"]>): void {
    this.written.push({ tag, opcode, flags, address, length, remote, isInline: false });
  }

  writeInline(
    ...[tag, opcode, flags, address, length, remote]: Parameters<LoopSends["writeInline"]>
  ): void {
    this.written.push({ tag, opcode, flags, address, length, remote, isInline: true });
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

  flush(): void {
    this.flushes++;
    for (const send of this.sends.written.splice(0)) {
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
