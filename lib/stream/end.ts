import { P2pError } from "../errors.js";
import type { Session } from "../session.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { checkEnd, type CheckedEnd } from "./check.js";
import { EndConnection } from "./connection.js";
import { HEADER_BYTES } from "./header.js";
import { addLocalEnd, deleteLocalEnd } from "./local-ends.js";
import { NvmeSide } from "./nvme-side.js";
import { checkOffers, type StreamOffer } from "./offer.js";
import type { StreamOutcome } from "./outcome.js";
import type { StreamEndPlan } from "./plan.js";
import { EndRun, type RunOptions } from "./run.js";
import { assertIntact } from "./slot-memory.js";
import { openStaging, type OpenStaging } from "./staging.js";

/** All that one end has open. */
export interface OpenEnd {
  readonly session: Session;
  readonly plan: StreamEndPlan;
  readonly end: CheckedEnd;
  readonly connection: EndConnection;
  readonly staging: OpenStaging;
  readonly nvme: NvmeSide;
}

/**
 * One half of a stream of blocks, from an NVMe namespace to another one: the source reads blocks into
 * its slots and writes them to the destination's, by RDMA; the destination writes them to its namespace,
 * and says when a slot is free again.
 *
 * Both ends tell each other their offer, connect(), and then run(): not before the other one is
 * connected, since what comes earlier is lost, and retried for some seconds only. Where one end fails, or
 * is ended by its signal, the other one does not hear of it by itself: its owner ends it by its signal.
 */
export class StreamEnd implements AsyncDisposable {
  /** What the blocks rest in: `host`, or the name of a provider; and why: one line. */
  readonly staging: { readonly memory: string; readonly reason: string };
  /** What the other end must know of this one. */
  readonly offer: StreamOffer;
  readonly #open: OpenEnd;
  readonly #onClosed: () => void;
  readonly #closing = new AbortController();
  #remote: StreamOffer | null = null;
  #run: EndRun | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | null = null;

  /**
   * With memory, registered, and queues on both devices. The session closes it, too. Errors: those of
   * checkEnd(), before anything is opened; NO_PORT, PORT_DOWN, NO_GID, RDMA_LIMIT, DEVICE_GONE, IO;
   * those of openStaging() and of creating queues.
   */
  static async open(session: Session, plan: StreamEndPlan): Promise<StreamEnd> {
    let closed = (): void => undefined;
    let end: StreamEnd | null = null;
    const opened = new Promise<StreamEnd>((resolve, reject) => {
      // The session waits for what it began: here until the end is closed, which it asks for.
      void session
        .operation(undefined, async (signal) => {
          end = new StreamEnd(await openEnd(session, plan, signal), () => {
            closed();
          });
          const isClosed = new Promise<void>((done) => {
            closed = done;
          });
          const close = (): void => {
            // Whoever opened it hears of what goes wrong.
            void end?.close().catch(() => undefined);
          };
          signal.addEventListener("abort", close);
          if (signal.aborted) close();
          resolve(end);
          await isClosed;
        })
        .catch(reject);
    });
    return opened;
  }

  private constructor(open: OpenEnd, onClosed: () => void) {
    this.#open = open;
    this.#onClosed = onClosed;
    const { plan, end, connection, staging } = open;
    const { provider, region, count } = staging.slots;
    this.staging = { memory: provider?.name ?? "host", reason: staging.reason };
    const { headers } = connection;
    this.offer = {
      role: plan.role,
      queuePair: connection.address,
      ...{ slots: count, stride: end.stride, blockBytes: plan.bs, size: plan.size },
      data: {
        address: String(region.address),
        rkey: region.rkey,
        bytes: region.byteLength,
      },
      headers: {
        address: String(headers.address),
        rkey: headers.rkey,
        bytes: count * HEADER_BYTES,
      },
    };
    addLocalEnd(open.session.platform, this.offer);
  }

  /** Once. Errors: SIZE_MISMATCH, BAD_ARGUMENT, BAD_MESSAGE; PORT_DOWN, NO_GID, IO. */
  connect(remote: StreamOffer): void {
    checkOffers(this.offer, remote, HEADER_BYTES);
    this.#open.connection.connect(remote.queuePair);
    this.#remote = remote;
  }

  /**
   * Streams all blocks of the range from the plan's `first` on, in a thread of its own; once. `signal` ends it at
   * once: what the devices have in flight is waited for, blocks on their way are lost.
   *
   * Errors: NVME_STATUS, BAD_COMPLETION, TIMEOUT, DEVICE_GONE, CONTROLLER_RESET and CONTROLLER_FATAL of
   * this end's NVMe device; RDMA_STATUS, where a request to the other end failed, or that is gone;
   * PEER_PROTOCOL, where it says what it cannot mean; REVOKED, where the peer memory has gone;
   * PMR_FAILED; IO; INTERRUPTED by the signal.
   */
  async run(options: RunOptions = {}): Promise<StreamOutcome> {
    const remote = this.#remote;
    if (remote === null || this.#run !== null || this.#closed !== null)
      throw new P2pError("BAD_ARGUMENT", "a stream runs once, when it is connected", {
        hint: "connect() it; open another one for another run",
      });
    const run = new EndRun(this.#open, this.offer, remote, options);
    this.#run = run;
    const running = run.go(this.#closing.signal);
    this.#running = running.catch(() => undefined);
    return running;
  }

  /** Of a destination: blocks from the begin of the range on that are written, with no gap. */
  get written(): number {
    return this.#run?.written ?? 0;
  }

  /**
   * That what `written` counted before, or what has been sent, went through memory that did not fail, and
   * to a controller that was not reset since: to be asked before anybody relies on it. Errors: REVOKED;
   * PMR_FAILED; DEVICE_GONE, CONTROLLER_RESET, CONTROLLER_FATAL.
   */
  assertIntact(): void {
    const { plan, nvme, staging } = this.#open;
    assertIntact(staging.slots);
    // What a controller had not flushed when it was reset may be lost; what a source has read is not.
    if (plan.role === "destination") nvme.controller.assertAlive(nvme.queue.qid);
  }

  /**
   * Ends a run, and lets everything go: when it returns no device reaches the memory any more. Where
   * that cannot be had, the memory stays until the session is closed. Idempotent. Errors: those of
   * deleting queues; IO.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    deleteLocalEnd(this.#open.session.platform, this.offer);
    try {
      await closeEnd(this.#open);
    } finally {
      this.#onClosed();
    }
  }
}

async function openEnd(
  session: Session,
  plan: StreamEndPlan,
  signal: AbortSignal,
): Promise<OpenEnd> {
  const end = await checkEnd(session, plan);
  const connection = new EndConnection(plan);
  let staging: OpenStaging | null = null;
  let nvme: NvmeSide | null = null;
  try {
    staging = await openStaging({ session, plan, end, domain: connection.domain, signal });
    signal.throwIfAborted();
    connection.open(staging.slots.count);
    nvme = await NvmeSide.open(session, plan, end, staging.slots);
    return { session, plan, end, connection, staging, nvme };
  } catch (error) {
    await closeEnd({ session, connection, staging, nvme }).catch(() => undefined);
    throw error;
  }
}

/** First both devices are kept from the memory, then it goes. */
async function closeEnd({
  session,
  connection,
  staging,
  nvme,
}: Pick<OpenEnd, "session" | "connection"> & {
  staging: OpenStaging | null;
  nvme: NvmeSide | null;
}): Promise<void> {
  let isReached = true;
  const free = (): void => {
    tryAll([
      () => {
        nvme?.freeLists();
      },
      () => {
        staging?.slots.close();
      },
    ]);
  };
  await tryAllInTurn([
    () => {
      connection.close();
    },
    async () => {
      await nvme?.deleteQueue();
      isReached = false;
    },
    () => {
      if (isReached) session.retire(free);
      else free();
    },
  ]);
}
