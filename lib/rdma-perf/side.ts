import { randomInt } from "node:crypto";
import { P2pError } from "../errors.js";
import { Opcode } from "../rdma/spec.js";
import { statusError } from "../rdma/status.js";
import type { Reactor } from "../reactor/reactor.js";
import type { RdmaDevice } from "../rdma/device.js";
import type { RdmaPath } from "../rdma/path.js";
import { tryAll } from "../try-all.js";
import { shortestInterval } from "./bandwidth.js";
import { MessageData } from "./data.js";
import { Ends } from "./ends.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "./job.js";
import { latencyOf } from "./latency.js";
import { layoutOf, type Layout } from "./layout.js";
import { LoopRun } from "./loop-run.js";
import { openMemory, type MessageMemory, type OpenedMemory } from "./memory.js";
import { assertAgree, offer, ready, result, type Measurement, type Offer } from "./messages.js";
import { assertOnDemand } from "./on-demand.js";
import type { Peer } from "./peer.js";
import {
  depthsOf,
  inlineBytesOf,
  keepsTimes,
  loopKindOf,
  roundTripDivisor,
  warmUpOf,
  type RdmaPerfPlan,
  type SideRole,
} from "./plan.js";
import { yieldAfterOf } from "./yielding.js";

/** One side of a test. */
export interface SideOptions {
  readonly plan: RdmaPerfPlan;
  readonly role: SideRole;
  readonly device: RdmaDevice;
  /** The device is the loopback machine's. */
  readonly isLoopback: boolean;
  readonly path: RdmaPath;
  readonly memory: MessageMemory;
  /** How long to wait for a message, milliseconds. */
  readonly timeoutMs: number;
}

/** What is known of messages of one size, on one side. */
export interface SizeResult {
  readonly size: number;
  /** What this side measured; of one that had nothing to do, what the other side did. */
  readonly measured: Measurement;
  /** Whether the data was compared on this side, and is right; null: it was not. */
  readonly verified: true | null;
}

export interface SideResult {
  /** Of the connections, bytes. */
  readonly mtu: number;
  readonly results: readonly SizeResult[];
}

/** Told of what is known before all is. */
export interface SideListener {
  onConnected?(mtu: number): void;
  onResult?(result: SizeResult): void;
}

/**
 * Goes through all sizes of a test with the side at the other end.
 *
 * Errors: TEST_MISMATCH, SIZE_MISMATCH; NO_ODP, where the device moves on-demand memory wrongly; those of registering memory and of queue pairs; RDMA_STATUS with
 * the status of a request that failed; REVOKED, where this side's memory goes; TIMEOUT, where no message comes for too long; WRONG_DATA; PEER_GONE
 * and what else the other side says; INTERRUPTED by `signal`. The other side is told of what went wrong on
 * this one.
 */
export async function runSide(
  options: SideOptions,
  peer: Peer,
  reactor: Reactor,
  signal: AbortSignal,
  listener: SideListener,
): Promise<SideResult> {
  let side: Side | null = null;
  try {
    side = new Side(options, peer, reactor, signal);
    return await side.run(listener);
  } catch (error) {
    // Of memory that has gone, what failed by it says less.
    const cause = side?.revoked ?? error;
    // Whatever it is: the other side waits.
    peer.fail(
      cause instanceof P2pError ? cause : new P2pError("INTERNAL", "a mistake at the other end"),
    );
    throw cause;
  } finally {
    side?.close();
  }
}

class Side {
  readonly #options: SideOptions;
  readonly #peer: Peer;
  readonly #reactor: Reactor;
  readonly #signal: AbortSignal;
  readonly #layout: Layout;
  readonly #opened: (() => void)[] = [];
  readonly #memory: OpenedMemory;
  readonly #inlineBytes: number;
  readonly #ends: Ends;
  /** What the other side offers, the MTU of both, and what messages bear; known once both have said so. */
  #theirs: Offer | null = null;
  #mtu = 0;
  #data: MessageData | null = null;

  constructor(options: SideOptions, peer: Peer, reactor: Reactor, signal: AbortSignal) {
    const { plan, device, path, memory } = options;
    this.#options = options;
    this.#peer = peer;
    this.#reactor = reactor;
    this.#signal = signal;
    this.#layout = layoutOf(plan);
    try {
      const domain = this.#open(device.allocateDomain());
      this.#memory = this.#open(openMemory(domain, memory, this.#layout.bytes));
      this.#inlineBytes = inlineBytesOf(plan, this.#memory.host !== null);
      this.#ends = this.#open(new Ends(domain, path, plan, this.#inlineBytes));
      // Who waits for the other side hears of it at once.
      this.#memory.region.onRevoke((error) => {
        peer.fail(error);
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async run(listener: SideListener): Promise<SideResult> {
    const mtu = (this.#mtu = await this.#meet());
    listener.onConnected?.(mtu);
    const results: SizeResult[] = [];
    for (const [index, size] of this.#options.plan.sizes.entries()) {
      this.#signal.throwIfAborted();
      const result = await this.#test(index, size);
      results.push(result);
      listener.onResult?.(result);
    }
    return { mtu, results };
  }

  /** Why its memory has gone; null: it has not. */
  get revoked(): P2pError | null {
    return this.#memory.region.revoked;
  }

  /** Queue pairs first: nothing reaches the memory any more when that goes. */
  close(): void {
    tryAll(this.#opened.splice(0).reverse());
  }

  /** The MTU of the connections. */
  async #meet(): Promise<number> {
    const { plan, role, memory, device, path } = this.#options;
    const { region, host } = this.#memory;
    const { verb, measure, sizes, iterations, duration, queuePairs, rxDepth } = plan;
    const seed = randomInt(2 ** 32);
    const own: Offer = {
      test: { verb, measure, sizes: [...sizes], iterations, duration, queuePairs, rxDepth },
      seed,
      isFilled: host !== null,
      readsAsTarget: this.#ends.readsAsTarget,
      address: this.#ends.address,
      region: { address: String(region.address), rkey: region.rkey, bytes: region.byteLength },
    };
    this.#peer.send(own);
    const theirs = await this.#peer.receive(offer);
    assertAgree(plan, theirs);
    this.#theirs = theirs;
    this.#data = new MessageData({
      ...{ plan, role, layout: this.#layout, seed: role === "server" ? theirs.seed : seed },
      ...{ buffer: host?.buffer ?? null, isOtherFilled: theirs.isFilled },
    });
    const mtu = await this.#ends.connect(this.#peer, theirs);
    if (memory.kind === "odp") await assertOnDemand(plan, device, { ...path, mtu });
    return mtu;
  }

  async #test(index: number, size: number): Promise<SizeResult> {
    const data = this.#data!;
    data.prepare(index, size);
    const run = this.#startLoop(size);
    const stop = (): void => {
      run?.stop();
    };
    this.#signal.addEventListener("abort", stop);
    try {
      await run?.prepared();
      await this.#beReady(index);
      run?.go();
      const theirs = this.#peer.receive(result, FOREVER);
      // What ends the other side ends this one. It is the client that knows when a time is over.
      const { plan, role } = this.#options;
      const isEnded = role === "server" && plan.duration !== null;
      theirs.then(isEnded ? stop : () => undefined, stop);
      const outcome = (await run?.outcome) ?? null;
      const own = outcome === null ? null : await this.#measured(outcome, size, theirs);
      const sent = outcome?.sent ?? null;
      this.#peer.send({ result: own, sent });
      const other = await theirs;
      const measured = own ?? other.result;
      if (measured === null)
        throw new P2pError("BAD_MESSAGE", "the other side has measured nothing");
      return { size, measured, verified: data.verify(index, size, sent ?? other.sent ?? 0) };
    } finally {
      this.#signal.removeEventListener("abort", stop);
      stop();
      await run?.outcome.catch(() => undefined);
    }
  }

  async #beReady(index: number): Promise<void> {
    this.#peer.send({ ready: index });
    const { ready: other } = await this.#peer.receive(ready);
    if (other !== index)
      throw new P2pError("BAD_MESSAGE", `the other side is at size ${other}, this one at ${index}`);
  }

  /** Null where the other side does all the work. */
  #startLoop(size: number): LoopRun | null {
    const { plan, role, device, isLoopback, timeoutMs } = this.#options;
    const yieldAfter = yieldAfterOf(
      { isLoopback, isSoft: device.fn === null },
      { measure: plan.measure, packets: Math.ceil(size / this.#mtu) },
    );
    const kind = loopKindOf(plan, role);
    if (kind === null) return null;
    const { sends, receives, cqMod } = depthsOf(plan, size);
    const isPolled = kind === "ping-pong-write";
    const last = size - 1;
    const job: Omit<RdmaPerfJob, "control" | "gate"> = {
      kind,
      opcode: OPCODES[plan.verb],
      size,
      lanes: this.#ends.pairs.map((_pair, lane) => this.#laneOf(lane, size)),
      sendCompletions: this.#ends.sendCompletions.handle,
      receiveCompletions: plan.verb === "send" ? this.#ends.receiveCompletions.handle : null,
      polled: isPolled
        ? {
            memoryId: this.#memory.host!.id,
            postOffset: this.#layout.sendOffset(0) + last,
            pollOffset: this.#layout.receiveOffset(0) + last,
          }
        : null,
      begins: role === "client",
      warmUp: warmUpOf(plan, size),
      iterations: plan.iterations,
      durationNs: plan.duration === null ? null : plan.duration * 1e9,
      ...{ sends, receives, cqMod },
      keepsTimes: keepsTimes(plan),
      timeoutNs: timeoutMs * 1e6,
      yieldAfter,
      cpu: null,
    };
    return new LoopRun(this.#reactor, job);
  }

  #laneOf(lane: number, size: number): LaneJob {
    const { plan } = this.#options;
    const { region } = this.#memory;
    const theirs = this.#theirs!.region;
    const pair = this.#ends.pairs[lane]!;
    const own = this.#layout.sendOffset(lane);
    const isInline = size <= this.#inlineBytes && size <= pair.maxInline;
    const remote = plan.verb === "read" ? own : this.#layout.receiveOffset(lane);
    return {
      queuePair: pair.handle,
      local: region.address + (plan.verb === "read" ? this.#layout.receiveOffset(lane) : own),
      inline: isInline ? region.inlineAddress(own, this.#layout.stride) : null,
      receive: region.address + this.#layout.receiveOffset(lane),
      lkey: region.lkey,
      remote: Number(theirs.address) + remote,
      rkey: theirs.rkey,
    };
  }

  /** Errors: RDMA_STATUS, TIMEOUT; why the loop was stopped, which `theirs` or the signal knows. */
  async #measured(
    outcome: RdmaPerfOutcome,
    size: number,
    theirs: Promise<unknown>,
  ): Promise<Measurement> {
    const { plan, device, timeoutMs } = this.#options;
    const { failure, messages, runtimeNs, posted, completed } = outcome;
    this.#signal.throwIfAborted();
    if (failure?.kind === "status") {
      const what = failure.isReceive ? "a receive" : `a ${plan.verb} of ${size} bytes`;
      throw statusError(failure.status, what, device.name, failure.vendorError);
    }
    if (failure?.kind === "stopped") await theirs;
    if (failure?.kind === "timeout")
      throw new P2pError("TIMEOUT", `no message came for ${timeoutMs / 1000} s`, {
        device: device.name,
        hint: "is the other side still at work? --timeout has this side wait longer",
      });
    if (failure !== null || messages === 0 || runtimeNs === 0)
      throw new P2pError("BAD_ARGUMENT", "the test was too short to measure anything", {
        hint: "give it a longer --duration",
      });
    const isLatency = plan.measure === "lat";
    return {
      messages,
      runtimeNs,
      shortestNs: isLatency || completed === null ? null : shortestInterval(posted!, completed),
      latency: isLatency && posted !== null ? latencyOf(posted, roundTripDivisor(plan)) : null,
    };
  }

  #open<T extends { close(): void }>(made: T): T {
    this.#opened.push(() => {
      made.close();
    });
    return made;
  }
}

/** As long as a timer can be set: that the other side is there its beats tell. */
const FOREVER = 2 ** 31 - 1;

const OPCODES = { write: Opcode.WRITE, read: Opcode.READ, send: Opcode.SEND } as const;
