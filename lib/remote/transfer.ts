import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { Connection } from "../exchange/connection.js";
import type { StreamEnd } from "../stream/end.js";
import type { StreamOutcome } from "../stream/outcome.js";
import { mismatchAt, type Places } from "./mismatch.js";
import { decodeSums, encodeSums, report, type EndReport } from "./protocol.js";
import type { Volume } from "./volume.js";
import { Windows, windowBlocks } from "./windows.js";

/** How often is looked whether more has been written: milliseconds. */
const LOOK_MS = 10;
/** How long the other side may take to say what its trouble was, which broke the stream here, too. */
const BETTER_CAUSE_MS = 2000;
/** While data flows nobody need say anything: that the peer is there the connection sees. */
const WHENEVER = 2 ** 31 - 1;

export interface TransferPlan {
  role: "source" | "destination";
  size: number;
  bs: number;
  /** Blocks before it are confirmed. */
  first: number;
  verify: boolean;
  places: Places;
  /** All blocks before this one are confirmed. */
  onConfirmed?(blocks: number): void;
  onProgress?(bytes: number): void;
}

/** What both ends did; the other one's is null where it was gone before it could tell. */
export interface TransferReports {
  own: EndReport;
  remote: EndReport | null;
}

/**
 * Runs one end of a stream until all blocks are confirmed: flushed at the destination, and where that is
 * wanted read back at both ends and compared by their CRC-32C, window by window, while the next ones
 * stream. Whatever goes wrong at one end ends both; nothing is in flight here any more when it throws.
 *
 * Errors: DATA_MISMATCH; those of the stream and of reading; what the other side tells of, PEER_GONE.
 */
export async function transfer(
  connection: Connection,
  stream: Pick<StreamEnd, "run" | "written">,
  volume: Volume,
  plan: TransferPlan,
): Promise<TransferReports> {
  return new Transfer(connection, stream, volume, plan).run();
}

class Transfer {
  readonly #connection: Connection;
  readonly #stream: Pick<StreamEnd, "run" | "written">;
  readonly #volume: Volume;
  readonly #plan: TransferPlan;
  readonly #blocks: number;
  readonly #windows: Windows;
  readonly #abort = new AbortController();
  /** When the connection has ended, and why. */
  readonly #ended: Promise<P2pError | null>;
  #failure: Error | undefined;
  #own: EndReport | undefined;
  #outcome: StreamOutcome | undefined;
  #remote: EndReport | undefined;

  constructor(
    connection: Connection,
    stream: Pick<StreamEnd, "run" | "written">,
    volume: Volume,
    plan: TransferPlan,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#volume = volume;
    this.#plan = plan;
    this.#blocks = Math.ceil(plan.size / plan.bs);
    this.#windows = new Windows(plan.first, this.#blocks, windowBlocks(plan.bs), performance.now());
    this.#ended = new Promise((resolve) => {
      connection.onClose(resolve);
    });
  }

  async run(): Promise<TransferReports> {
    const tasks = [this.#runStream(), this.#listen()];
    if (this.#plan.role === "destination") tasks.push(this.#announce());
    const fail = (error: unknown): void => {
      this.#fail(error);
    };
    await Promise.all(tasks.map((task) => task.catch(fail)));
    if (this.#failure !== undefined) throw this.#failure;
    return { own: this.#own!, remote: this.#remote ?? null };
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
        onProgress: (bytes) => this.#plan.onProgress?.(bytes),
      });
    } catch (error) {
      // An end that fails takes the wire along: what it says is the cause.
      const cause = await Promise.race([this.#ended, delay(BETTER_CAUSE_MS, null)]);
      throw this.#failure ?? cause ?? error;
    }
    this.#finish();
  }

  /** The destination's: flushes what has been written, reads it back, tells of it. */
  async #announce(): Promise<void> {
    const { verify } = this.#plan;
    const windows = this.#windows;
    while (!windows.isDone && !this.#abort.signal.aborted) {
      const window = windows.next(this.#stream.written, performance.now());
      if (window === null) {
        await delay(LOOK_MS);
        continue;
      }
      await this.#volume.flush();
      const end = window.first + window.count;
      if (verify) {
        const sums = encodeSums(await this.#volume.sums(window));
        windows.announce(window, performance.now());
        this.#connection.send({ type: "sums", first: window.first, sums });
      } else {
        windows.announce(window, performance.now());
        this.#connection.send({ type: "flushed", blocks: end });
        this.#confirm(end);
      }
    }
  }

  /** Until the other side has said that it is done, or has left when nothing was left to say. */
  async #listen(): Promise<void> {
    while (this.#remote === undefined) {
      let message;
      try {
        message = await this.#connection.receive(report, WHENEVER);
      } catch (error) {
        if (this.#own !== undefined && this.#failure === undefined) return;
        throw error;
      }
      switch (message.type) {
        case "sums":
          this.#assertRole("source", this.#plan.verify);
          await this.#compare(message.first, decodeSums(message.sums));
          break;
        case "flushed":
          this.#assertRole("source", !this.#plan.verify);
          this.#hear(message.blocks);
          this.#confirm(message.blocks);
          break;
        case "confirmed":
          this.#assertRole("destination", this.#plan.verify);
          this.#confirm(message.blocks);
          break;
        case "done":
          this.#remote = message.report;
      }
    }
    if (!this.#windows.isDone)
      throw new P2pError("BAD_MESSAGE", "the other side is done before all blocks are confirmed");
  }

  async #compare(first: number, sums: Uint32Array): Promise<void> {
    this.#hear(first + sums.length, first);
    const own = await this.#volume.sums({ first, count: sums.length });
    const wrong = own.findIndex((sum, index) => sum !== sums[index]);
    if (wrong !== -1) {
      const { places, bs } = this.#plan;
      throw mismatchAt(places, bs, first + wrong, { sent: own[wrong]!, found: sums[wrong]! });
    }
    this.#connection.send({ type: "confirmed", blocks: first + sums.length });
    this.#confirm(first + sums.length);
  }

  /** At the source: the other side has flushed so far. */
  #hear(end: number, first = this.#windows.confirmed): void {
    const window = { first, count: end - first };
    this.#windows.assertNext(window);
    this.#windows.announce(window, performance.now());
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
