import { P2pError } from "../errors.js";
import { EngineJobs } from "../io/engine-jobs.js";
import { failureOf } from "../io/failure.js";
import type { RunMeter } from "../io/run-meter.js";
import { runJobs } from "../io/run-jobs.js";
import { supervise, type SupervisedRun } from "../io/supervise.js";
import type { Traffic } from "../io/traffic.js";
import { statusError } from "../rdma/status.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import type { RunnerUrl } from "../reactor/reactor.js";
import { StartGate } from "../reactor/start-gate.js";
import type { OpenEnd } from "./end.js";
import { HEADER_BYTES, STREAM_WORDS } from "./header.js";
import type { DestinationJob, SourceJob, StreamJob, StreamJobOutcome } from "./job.js";
import { isLocalEnd } from "./local-ends.js";
import type { StreamOffer } from "./offer.js";
import type { StreamOutcome } from "./outcome.js";
import { assertIntact } from "./slot-memory.js";
import { streamTraffic } from "./traffic.js";
import { BLOCKS_AHEAD } from "./written-blocks.js";

const RUNNER: RunnerUrl<SourceJob | DestinationJob, StreamJobOutcome> = new URL(
  "./run-job.js",
  import.meta.url,
);

export interface RunOptions {
  signal?: AbortSignal | undefined;
  /** About ten times a second: bytes so far that have arrived, or are written. */
  onProgress?(bytes: number): void;
}

/** One run of one end. */
export class EndRun {
  readonly #open: OpenEnd;
  readonly #own: StreamOffer;
  readonly #remote: StreamOffer;
  readonly #options: RunOptions;
  readonly #control = ControlBlock.create(1);
  readonly #latency = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
  readonly #written = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  #revocation: P2pError | null = null;

  constructor(open: OpenEnd, own: StreamOffer, remote: StreamOffer, options: RunOptions) {
    this.#open = open;
    this.#own = own;
    this.#remote = remote;
    this.#options = options;
    new Float64Array(this.#written)[0] = open.end.first;
  }

  get written(): number {
    return new Float64Array(this.#written)[0]!;
  }

  /** `closing`: the end is closed. Errors: see StreamEnd.run(). */
  go(closing: AbortSignal): Promise<StreamOutcome> {
    const { session, connection, staging } = this.#open;
    const { signal: given } = this.#options;
    const signals = given === undefined ? [closing] : [closing, given];
    return session.operation(AbortSignal.any(signals), async (signal) => {
      const end = (): void => {
        // First the engine is told, so that it takes what is flushed for no failure.
        this.#control.halt();
        try {
          connection.toError();
        } catch {
          // Of a device that has failed; nothing is waited for any more, and close() ends the queue pair.
        }
      };
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
      // Its keys mean nothing any more by then, and the queue pair is in error.
      staging.slots.region.onRevoke((error) => {
        this.#revocation = error;
        this.#control.halt();
      });
      try {
        const { run, meter } = await this.#run(signal);
        this.#throwFailure(run);
        assertIntact(staging.slots);
        signal.throwIfAborted();
        meter?.end();
        const [outcome] = run.outcomes as [StreamJobOutcome];
        this.#assertComplete(outcome);
        return this.#measure(outcome, meter);
      } finally {
        signal.removeEventListener("abort", end);
      }
    });
  }

  async #run(
    signal: AbortSignal,
  ): Promise<{ run: SupervisedRun<StreamJobOutcome>; meter: RunMeter | null }> {
    const { session, plan, nvme } = this.#open;
    const isSource = plan.role === "source";
    const jobs = new EngineJobs(isSource ? plan : withoutRamp(plan), 1, this.#runtime);
    const job = this.#job(jobs);
    const runnable = {
      control: this.#control,
      queues: [{ controller: nvme.controller, qid: nvme.queue.qid }],
      run: () => session.withReactor((reactor) => reactor.run(RUNNER, job)),
    };
    const tick = (): void => {
      this.#watch();
    };
    if (isSource) return runJobs(session, plan, jobs, [runnable], signal, tick);
    const ended = (): void => {
      jobs.release();
    };
    return { run: await supervise([{ ...runnable, ended }], signal, tick), meter: null };
  }

  get #runtime(): number | null {
    const { role, runtime = null } = this.#open.plan;
    return role === "source" ? runtime : null;
  }

  #job(jobs: EngineJobs): SourceJob | DestinationJob {
    const { session, plan, end, connection, staging, nvme } = this.#open;
    const { first } = end;
    const remote = this.#remote;
    const { data, headers } = this.#own;
    const common: Omit<StreamJob, "side" | "rangeBlocks"> = {
      ...jobs.open(0, this.#control),
      slots: Math.min(this.#own.slots, remote.slots),
      ...{ blockBytes: plan.bs, lastBlockBytes: end.lastBlockBytes },
      ...{ loops: plan.loops ?? 1, latency: this.#latency.buffer as SharedArrayBuffer },
      ...{ wire: connection.job(staging.slots.barrier), firstBlock: first },
      // The devices are a thread there, and so may be the other end.
      yieldsAtOnce: session.platform.kind === "loopback",
    };
    if (plan.role === "destination")
      return {
        ...common,
        role: "destination",
        ...{ side: nvme.job(0), rangeBlocks: end.blocks, written: this.#written },
        ...{ ahead: BLOCKS_AHEAD, exactlyOnce: plan.exactlyOnce ?? false },
        // All is to warm up until the source says that it counts.
        rampNs: Infinity,
        rampGate: StartGate.create(1).buffer,
      };
    const { lkey } = staging.slots.region;
    return {
      ...common,
      role: "source",
      ...{ side: nvme.job(first), rangeBlocks: end.blocks - first },
      data: { address: Number(data.address), lkey, stride: end.stride },
      headers: { address: Number(headers.address), lkey: connection.headers.lkey },
      remoteData: {
        ...{ address: Number(remote.data.address), rkey: remote.data.rkey },
        stride: remote.stride,
      },
      remoteHeaders: { address: Number(remote.headers.address), rkey: remote.headers.rkey },
    };
  }

  /** Called now and then while the reactor runs. Errors: what onProgress() threw. */
  #watch(): void {
    try {
      this.#open.staging.slots.provider?.assertAlive();
    } catch {
      // It is revoked, which ends the run.
    }
    this.#options.onProgress?.(this.#control.bytes);
  }

  /** A device that is gone may be the provider's, too: that it is gone says more than REVOKED. */
  #throwFailure({ failure, outcomes }: SupervisedRun<StreamJobOutcome>): void {
    const { nvme, end, plan } = this.#open;
    const queue = { controller: nvme.controller, qid: nvme.queue.qid, nsid: end.namespace.nsid };
    const error = failure && failureOf(failure, [queue]);
    const kind = failure?.failure.kind;
    if (error !== null && (kind === "lost" || kind === "timeout")) throw error;
    if (this.#revocation !== null) throw this.#revocation;
    if (error === null) return;
    const wireError = outcomes[0]?.wireError ?? null;
    const isOfWire = error instanceof P2pError && error.code === "RDMA_STATUS";
    if (!isOfWire || wireError === null) throw error;
    const { status, what, vendorError } = wireError;
    throw statusError(status, what, plan.rdma.name, vendorError);
  }

  /** What ends a run early says why; that something has and did not must not pass for a stream. */
  #assertComplete({ bytes }: StreamJobOutcome): void {
    const { plan, end } = this.#open;
    if (plan.role === "destination" || plan.runtime !== undefined) return;
    const expected = (plan.loops ?? 1) * Math.max(0, plan.size - end.first * plan.bs);
    if (bytes !== expected)
      throw new P2pError("INTERNAL", `the stream ended after ${bytes} of ${expected} bytes`);
  }

  #measure(outcome: StreamJobOutcome, meter: RunMeter | null): StreamOutcome {
    const { session, plan, end, staging } = this.#open;
    const { bytes, blocks, beganNs, endedNs, busyNs, cpu } = outcome;
    const { provider } = staging.slots;
    const ownTraffic = streamTraffic(
      session.pci,
      {
        ...{ role: plan.role, nvme: plan.endpoint.device, nic: plan.rdma.fn?.address ?? null },
        provider: provider && {
          device: provider.fn.address,
          isIdentityMapped: provider.isIdentityMapped,
        },
      },
      bytes,
    );
    const slots = Math.min(this.#own.slots, this.#remote.slots);
    const counted = meter?.counted ?? null;
    const ends = isLocalEnd(session.platform, this.#remote) ? 2 : 1;
    return {
      ...{ bytes, blocks, runtimeNs: endedNs - beganNs, latency: this.#latency },
      cpu: { ...cpu, busyNs, deviceNs: meter?.deviceCpuNs ?? null },
      ...{ traffic: counted ? withoutHeaders(counted, ends, blocks) : ownTraffic, ownTraffic },
      ...{ iodepth: slots, notes: [...end.notes, ...this.#slotNotes(slots)] },
    };
  }

  #slotNotes(slots: number): string[] {
    const { end, staging } = this.#open;
    const { provider, count } = staging.slots;
    const note = (why: string): string => `${slots} blocks in flight, not ${end.slots}: ${why}`;
    if (slots < count) return [note("the other end has no more")];
    if (count < end.slots) return [note(`${provider?.name ?? "host memory"} has room for no more`)];
    return [];
  }
}

/** A machine counts what no queue entry is as payload; headers are none. They lie in host memory. */
function withoutHeaders(traffic: Traffic, ends: number, blocks: number): Traffic {
  const { host_memory_bytes: payload, host_control_bytes: control } = traffic;
  const headers = ends * (blocks + STREAM_WORDS) * HEADER_BYTES;
  return {
    ...traffic,
    host_memory_bytes: payload === null ? null : payload - headers,
    host_control_bytes: control === null ? null : control + headers,
  };
}

/** A destination goes by what its source does. */
function withoutRamp({ cpus = [], recordLatency = true }: OpenEnd["plan"]): {
  cpus: readonly number[];
  recordLatency: boolean;
} {
  return { cpus, recordLatency };
}
