import { addon, type NativeMemory } from "../addon.js";
import { PeerBarrier } from "../io/peer-barrier.js";
import { CompletionQueue } from "../rdma/completion-queue.js";
import { QueuePair } from "../rdma/queue-pair.js";
import { tryAll } from "../try-all.js";
import type { WireJob } from "./job.js";

/** The connection to the other end of a stream, as one thread drives it. */
export class Wire {
  readonly queuePair: Pick<QueuePair, "sends" | "receives" | "flush">;
  readonly completions: CompletionQueue;
  /** The own table of headers. */
  readonly headers: Uint32Array;
  /** Null: host memory, where all that a device has written is in place when it completes. */
  readonly barrier: Pick<PeerBarrier, "pass"> | null;

  constructor(
    queuePair: Wire["queuePair"],
    completions: CompletionQueue,
    headers: Uint32Array,
    barrier: Wire["barrier"],
  ) {
    this.queuePair = queuePair;
    this.completions = completions;
    this.headers = headers;
    this.barrier = barrier;
  }
}

/** A wire of this thread's own. */
export class OpenWire extends Wire {
  readonly #closes: (() => void)[];

  /** Errors: GONE. */
  static open({ queuePair, completions, headersId, barrier }: WireJob): OpenWire {
    const closes: (() => void)[] = [];
    const open = <T extends { close(): void }>(resource: T): T => {
      closes.push(() => {
        resource.close();
      });
      return resource;
    };
    try {
      const queue = open(CompletionQueue.open(completions));
      const pair = open(QueuePair.open(queuePair, queue));
      const headers: NativeMemory = open(addon().openMemory(headersId));
      const peer = barrier && open(new PeerBarrier(barrier.memoryId, barrier.offset));
      return new OpenWire(pair, queue, new Uint32Array(headers.buffer), peer, closes);
    } catch (error) {
      tryAll(closes.reverse());
      throw error;
    }
  }

  private constructor(
    queuePair: QueuePair,
    completions: CompletionQueue,
    headers: Uint32Array,
    barrier: PeerBarrier | null,
    closes: (() => void)[],
  ) {
    super(queuePair, completions, headers, barrier);
    this.#closes = closes;
  }

  /** Lets go of this thread's views; the connection goes on. */
  close(): void {
    tryAll(this.#closes.splice(0).reverse());
  }
}
