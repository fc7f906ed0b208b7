import { P2pError } from "../errors.js";
import { Side } from "../io/side.js";
import type { QueuePair as NvmeQueuePair } from "../nvme/queues/queue-pair.js";
import { STATUS_FLUSHED } from "../rdma/status.js";
import { Engine } from "../reactor/engine.js";
import type { EngineThread } from "../reactor/engine-job.js";
import { NVME_QUEUE, type StreamJob, type WireError } from "./job.js";
import type { Wire } from "./wire.js";

/** A poll of the completion queue is a native call: some 50 to 100 ns, of others it takes ten. */
const WIRE_POLL = 16;

/**
 * What both ends of a stream do: drive an NVMe queue pair and a connection, by one native call to post
 * and one to poll for a batch.
 *
 * Where one fails it waits for its NVMe commands, and for nothing from the other end: that may not come
 * any more. The memory must stay until its owner has closed the queue pair.
 */
export abstract class StreamEngine extends Engine {
  protected readonly side: Side;
  protected readonly wire: Wire;
  #wireError: WireError | null = null;

  constructor(job: StreamJob, queue: NvmeQueuePair, wire: Wire, thread: EngineThread) {
    const side = new Side(NVME_QUEUE, job.side, queue, null);
    super(job, job.slots, [side], thread);
    this.side = side;
    this.wire = wire;
    // For each slot the other end may say something once: that it has filled it, or a credit.
    for (let slot = 0; slot < job.slots; slot++) this.grant();
    this.flushWire();
  }

  protected get wireError(): WireError | null {
    return this.#wireError;
  }

  protected override get pollWeight(): number {
    return WIRE_POLL;
  }

  /** Has no one to wait for at the other end. */
  protected get isOnItsOwn(): boolean {
    return this.hasFailed || this.control.isHalting;
  }

  /** Room for one message of the other end. */
  protected grant(): void {
    this.wire.queuePair.receives.write(0, 0, 0, 0);
  }

  /** How many completions there are. */
  protected pollWire(): number {
    try {
      return this.wire.completions.poll();
    } catch (error) {
      this.failFor(error);
      return 0;
    }
  }

  /** Posts what was written: all of a batch, by one native call for each direction. */
  protected flushWire(): void {
    try {
      this.wire.queuePair.flush();
    } catch (error) {
      this.failFor(error);
    }
  }

  /** Pushes ahead what a device has written to peer memory; false where that has failed. */
  protected passBarrier(): boolean {
    const { barrier } = this.wire;
    if (barrier === null) return true;
    try {
      barrier.pass();
      return true;
    } catch (error) {
      this.failFor(error);
      return false;
    }
  }

  /**
   * The completion with that index is not a success. What was flushed follows from something else, of
   * which another completion may tell.
   */
  protected failWire(index: number, what: string): void {
    // Its owner has put an end to the connection.
    if (this.control.isHalting) {
      this.closing = true;
      return;
    }
    const { completions } = this.wire;
    const status = completions.status(index);
    const known = this.#wireError?.status ?? STATUS_FLUSHED;
    if (this.#wireError === null || (known === STATUS_FLUSHED && status !== STATUS_FLUSHED))
      this.#wireError = { status, vendorError: completions.vendorError(index), what };
    this.failFor(new P2pError("RDMA_STATUS", `${what} failed`));
  }

  /** The other end says what it cannot mean. */
  protected distrust(message: string): void {
    this.failFor(
      new P2pError("PEER_PROTOCOL", `the other end of the stream ${message}`, {
        hint: "what it has sent is not to be trusted; use p2pmem of one version at both ends",
      }),
    );
  }
}
