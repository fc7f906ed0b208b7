import { randomInt } from "node:crypto";
import { formatGid, parseGid } from "../exchange/address.js";
import type { NativeConnectionOptions } from "../rdma-addon.js";
import type { CompletionQueue } from "../rdma/completion-queue.js";
import type { RdmaDevice } from "../rdma/device.js";
import type { RdmaPath } from "../rdma/path.js";
import type { ProtectionDomain } from "../rdma/protection-domain.js";
import type { QueuePair } from "../rdma/queue-pair.js";
import { Access, PSN_MASK } from "../rdma/spec.js";
import { tryAll } from "../try-all.js";
import { MOST_NUMBERS, numbers, type Offer } from "./messages.js";
import type { Peer } from "./peer.js";
import { depthsOf, UNSETTLED, type RdmaPerfPlan } from "./plan.js";

/** The largest that the attributes of a queue pair have room for. */
const MOST_READS = 255;

/** A side's queue pairs, and the queues that they complete in. */
export class Ends {
  readonly pairs: readonly QueuePair[];
  readonly sendCompletions: CompletionQueue;
  readonly receiveCompletions: CompletionQueue;
  readonly #device: RdmaDevice;
  readonly #path: RdmaPath;
  readonly #plan: RdmaPerfPlan;
  readonly #psn = randomInt(PSN_MASK + 1);
  readonly #opened: (() => void)[] = [];

  /** `inlineBytes`: see inlineBytesOf(). Errors: RDMA_LIMIT, IO. */
  constructor(domain: ProtectionDomain, path: RdmaPath, plan: RdmaPerfPlan, inlineBytes: number) {
    this.#device = domain.device;
    this.#path = path;
    this.#plan = plan;
    const { sends, receives } = depthsOf(plan, plan.sizes[0]!);
    // More than are in flight: see Turns; of Sender, a last one that tells when a test by time is over.
    const more = plan.measure === "lat" ? UNSETTLED : 1;
    const entries = { sends: sends + more, receives };
    try {
      const completionQueue = (depth: number): CompletionQueue =>
        this.#open(this.#device.createCompletionQueue(depth * plan.queuePairs));
      this.sendCompletions = completionQueue(entries.sends);
      this.receiveCompletions =
        plan.verb === "send" ? completionQueue(entries.receives) : this.sendCompletions;
      const { sendCompletions, receiveCompletions } = this;
      this.pairs = Array.from({ length: plan.queuePairs }, () => {
        const pair = this.#open(
          domain.createQueuePair({
            ...entries,
            inlineBytes,
            sendCompletions,
            receiveCompletions,
          }),
        );
        pair.initialize(this.#options);
        return pair;
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What the other side must know, beside the numbers of the queue pairs. */
  get address(): Offer["address"] {
    const { lid, gid, mtu } = this.#path;
    const most = this.#plan.mtu ?? mtu;
    return {
      psn: this.#psn,
      lid,
      gid: formatGid(gid),
      mtu: Math.min(most, mtu),
    };
  }

  get readsAsTarget(): number {
    return Math.min(MOST_READS, this.#device.attributes.maxReadsAsTarget);
  }

  /**
   * Each to that of the other side with the same index, by the MTU that both can have, which it gives.
   * Errors: PORT_DOWN, NO_GID, IO, those of `peer`.
   */
  async connect(peer: Peer, theirs: Offer): Promise<number> {
    const { psn, lid, gid } = theirs.address;
    const mtu = Math.min(this.address.mtu, theirs.address.mtu);
    const { maxReadsAsInitiator } = this.#device.attributes;
    const options = {
      ...this.#options,
      mtu,
      readsAsTarget: this.readsAsTarget,
      readsAsInitiator: Math.min(MOST_READS, maxReadsAsInitiator, theirs.readsAsTarget),
    };
    for (let first = 0; first < this.pairs.length; first += MOST_NUMBERS) {
      const some = this.pairs.slice(first, first + MOST_NUMBERS);
      peer.send({ queuePairs: some.map(({ number }) => number) });
      const { queuePairs } = await peer.receive(numbers.refine(hasLength(some.length)));
      for (const [index, pair] of some.entries())
        pair.connect(options, { number: queuePairs[index]!, psn, lid, gid: parseGid(gid) });
    }
    return mtu;
  }

  /** The device uses nothing of theirs any more when this returns. */
  close(): void {
    tryAll(this.#opened.splice(0).reverse());
  }

  get #options(): NativeConnectionOptions {
    const { port, gidIndex } = this.#path;
    const remoteAccess = Access.REMOTE_WRITE | Access.REMOTE_READ;
    return { port, gidIndex, psn: this.#psn, remoteAccess };
  }

  #open<T extends { close(): void }>(made: T): T {
    this.#opened.push(() => {
      made.close();
    });
    return made;
  }
}

function hasLength(length: number): (message: { queuePairs: readonly number[] }) => boolean {
  return ({ queuePairs }) => queuePairs.length === length;
}
