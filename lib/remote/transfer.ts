import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { Connection } from "../exchange/connection.js";
import type { StreamEnd } from "../stream/end.js";
import type { StreamOutcome } from "../stream/outcome.js";
import { mismatchAt, type Places } from "./mismatch.js";
import { decodeSums, encodeSums, report, type EndReport } from "./protocol.js";
import { Stall } from "./stall.js";
import type { Volume } from "./volume.js";
import { Windows, windowBlocks } from "./windows.js";

/** How often is looked whether more has been written: milliseconds. */
const LOOK_MS = 10;
/** While data flows nobody need say anything: that the peer is there the connection sees. */
const WHENEVER = 2 ** 31 - 1;

/** How long a transfer waits where both sides are there: milliseconds. */
export interface TransferPatience {
  /** With nothing moving at all. */
  stallMs: number;
  /** For the own end of the stream, once the other side is done with all of its own. */
  endMs: number;
  /** For the other side to say what its trouble was, which broke the stream here, too. */
  causeMs: number;
}

/**
 * What nothing may move for beyond a command that takes as long as it may: to abort it or to delete its
 * queue (5 s each at most, docs/errors.md), or to read back what was flushed. Milliseconds.
 */
const BEYOND_COMMAND_MS = 10_000;

/** @internal `commandMs`: how long a command of this end's NVMe controller may take. */
export function patienceFor(commandMs: number): TransferPatience {
  return { stallMs: commandMs + BEYOND_COMMAND_MS, endMs: 10_000, causeMs: 2000 };
}

export interface TransferPlan {
  role: "source" | "destination";
  size: number;
  bs: number;
  /** Blocks before it are confirmed. */
  first: number;
  verify: boolean;
  /** How long a command of this end's NVMe controller may take: milliseconds. */
  commandMs: number;
  places: Places;
  /** All blocks before this one are confirmed. */
  onConfirmed?(blocks: number): void;
  onProgress?(bytes: number): void;
}

/** What both ends did. */
export interface TransferReports {
  own: EndReport;
  remote: EndReport;
}

type Stream = Pick<StreamEnd, "run" | "written" | "assertIntact">;

/**
 * Runs one end of a stream until all blocks are confirmed by both sides: flushed at the destination, and
 * where that is wanted read back at both ends and compared by their CRC-32C, window by window, while the
 * next ones stream. Whatever goes wrong at one end ends both; nothing is in flight here any more when it
 * throws.
 *
 * Errors: DATA_MISMATCH; those of the stream and of reading; what the other side tells of; PEER_GONE,
 * where it is, or does not move; PEER_PROTOCOL, where its end of the stream is not what it says;
 * BAD_MESSAGE.
 */
export async function transfer(
  connection: Connection,
  stream: Stream,
  volume: Volume,
  plan: TransferPlan,
  patience = patienceFor(plan.commandMs),
): Promise<TransferReports> {
  return new Transfer(connection, stream, volume, plan, patience).run();
}

class Transfer {
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #volume: Volume;
  readonly #plan: TransferPlan;
  readonly #patience: TransferPatience;
  readonly #windows: Windows;
  readonly #abort = new AbortController();
  readonly #stall: Stall;
  /** When the connection has ended. */
  readonly #ended: Promise<void>;
  #failure: Error | undefined;
  #own: EndReport | undefined;
  #outcome: StreamOutcome | undefined;
  #remote: EndReport | undefined;
  #bytes = 0;

  constructor(
    connection: Connection,
    stream: Stream,
    volume: Volume,
    plan: TransferPlan,
    patience: TransferPatience,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#volume = volume;
    this.#plan = plan;
    this.#patience = patience;
    const { first, size, bs } = plan;
    this.#windows = new Windows(first, Math.ceil(size / bs), windowBlocks(bs), performance.now());
    this.#stall = new Stall(patience.stallMs, (seconds) => {
      this.#fail(
        new P2pError("PEER_GONE", `nothing has moved between both sides for ${seconds} s`),
      );
    });
    this.#ended = new Promise((resolve) => {
      connection.onClose((error) => {
        // Whatever is still under way then ends: nobody else would end the stream.
        if (this.#own === undefined || this.#remote === undefined)
          this.#fail(error ?? new P2pError("CLOSED", "the connection is closed"));
        resolve();
      });
    });
  }

  async run(): Promise<TransferReports> {
    const tasks = [this.#runStream(), this.#listen()];
    if (this.#plan.role === "destination") tasks.push(this.#announce());
    const fail = (error: unknown): void => {
      this.#fail(error);
    };
    await Promise.all(tasks.map((task) => task.catch(fail)));
    this.#stall.stop();
    if (this.#failure !== undefined) throw this.#failure;
    return { own: this.#own!, remote: this.#remote! };
  }

  /** The first failure counts: it ends the stream, and the other side hears of it. */
  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#abort.abort();
    this.#connection.fail(
      error instanceof P2pError ? error : new P2pError("INTERNAL", "a mistake at the other end"),
    );
  }

  async #runStream(): Promise<void> {
    try {
      this.#outcome = await this.#stream.run({
        signal: this.#abort.signal,
        onProgress: (bytes) => {
          if (bytes !== this.#bytes) this.#stall.moved();
          this.#bytes = bytes;
          this.#plan.onProgress?.(bytes);
        },
      });
    } catch (error) {
      // What arrived last may be anything: it is not told of.
      this.#abort.abort();
      // An end that fails takes the wire along: what the other side says then is the cause.
      const isOfWire = error instanceof P2pError && error.code === "RDMA_STATUS";
      const { causeMs } = this.#patience;
      if (isOfWire) await Promise.race([this.#ended, delay(causeMs, undefined, { ref: false })]);
      throw error;
    }
    this.#finish();
  }

  /** The destination's: flushes what has been written, reads it back, tells of it. */
  async #announce(): Promise<void> {
    const windows = this.#windows;
    while (!windows.isDone && !this.#abort.signal.aborted) {
      const window = windows.next(this.#stream.written, performance.now());
      if (window === null) {
        await delay(LOOK_MS);
        continue;
      }
      await this.#volume.flush();
      this.#stall.moved();
      const { first, count } = window;
      const message = this.#plan.verify
        ? { type: "sums", first, sums: encodeSums(await this.#volume.sums(window)) }
        : { type: "flushed", blocks: first + count };
      this.#stream.assertIntact();
      if (this.#isAborted) return;
      windows.announce(window, performance.now());
      this.#connection.send(message);
      this.#stall.moved();
    }
  }

  /**
   * Until the other side has said that it is done. A source whose stream has failed confirms no more; it
   * listens for what the other side's trouble is.
   */
  async #listen(): Promise<void> {
    while (this.#remote === undefined) {
      const message = await this.#connection.receive(report, WHENEVER);
      this.#stall.moved();
      switch (message.type) {
        case "sums":
          this.#assertRole("source", this.#plan.verify);
          if (!this.#isAborted) await this.#compare(message.first, decodeSums(message.sums));
          break;
        case "flushed":
          this.#assertRole("source", !this.#plan.verify);
          if (this.#isAborted) break;
          this.#hear({ first: this.#windows.confirmed, end: message.blocks });
          this.#answer(message.blocks);
          break;
        case "confirmed":
          this.#assertRole("destination", true);
          this.#confirm(message.blocks);
          break;
        case "done":
          this.#remote = message.report;
      }
    }
    if (!this.#windows.isDone)
      throw new P2pError("BAD_MESSAGE", "the other side is done before all blocks are confirmed");
    this.#stall.limit(this.#patience.endMs, () => {
      this.#fail(
        new P2pError("PEER_PROTOCOL", "the other side is done, but did not end its stream", {
          hint: "use p2pmem of one version at both ends",
        }),
      );
    });
  }

  async #compare(first: number, sums: Uint32Array): Promise<void> {
    const count = sums.length;
    this.#hear({ first, end: first + count });
    const own = await this.#volume.sums({ first, count });
    this.#stall.moved();
    const wrong = own.findIndex((sum, index) => sum !== sums[index]);
    if (wrong !== -1) {
      const { places, bs } = this.#plan;
      throw mismatchAt(places, bs, first + wrong, { sent: own[wrong]!, found: sums[wrong]! });
    }
    this.#answer(first + count);
  }

  /** At the source: the other side has flushed so far. */
  #hear({ first, end }: { first: number; end: number }): void {
    const window = { first, count: end - first };
    this.#windows.assertNext(window);
    this.#windows.announce(window, performance.now());
  }

  /** The source's word on what the other side has told of: what it sent of that was right, too. */
  #answer(blocks: number): void {
    this.#stream.assertIntact();
    if (this.#isAborted) return;
    this.#connection.send({ type: "confirmed", blocks });
    this.#confirm(blocks);
  }

  #confirm(blocks: number): void {
    this.#windows.confirm(blocks);
    this.#plan.onConfirmed?.(blocks);
    this.#finish();
  }

  /** Says that this end is done, once it is. */
  #finish(): void {
    const outcome = this.#outcome;
    if (outcome === undefined || !this.#windows.isDone || this.#own !== undefined) return;
    this.#own = makeReport(outcome, this.#volume);
    this.#connection.send({ type: "done", report: this.#own });
  }

  /** A look that may say something else each time. */
  get #isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  #assertRole(role: TransferPlan["role"], isDue: boolean): void {
    if (this.#plan.role !== role || !isDue)
      throw new P2pError("BAD_MESSAGE", "the other side says what is not its to say");
  }
}

const PERCENTILES = [50, 90, 99, 99.9, 99.99];

function makeReport(outcome: StreamOutcome, { verifiedBytes }: Volume): EndReport {
  const { latency, cpu, ownTraffic } = outcome;
  const known = (value: number): number | null => (Number.isFinite(value) ? value : null);
  const { source, host_memory_bytes, host_control_bytes, root_complex_bytes } = ownTraffic;
  return {
    bytes: outcome.bytes,
    runtime_ns: outcome.runtimeNs,
    lat_ns: {
      min: known(latency.min),
      mean: known(latency.mean),
      max: known(latency.max),
      percentile: Object.fromEntries(
        PERCENTILES.map((p) => [String(p), known(latency.percentile(p))]),
      ),
    },
    cpu: { usr_ns: cpu.userNs, sys_ns: cpu.systemNs, busy_ns: cpu.busyNs },
    // Of this end alone: what a machine counts has both ends, and what verification reads.
    traffic: { source, host_memory_bytes, host_control_bytes, root_complex_bytes },
    iodepth: outcome.iodepth,
    notes: outcome.notes,
    verify_bytes: verifiedBytes,
  };
}
