import { P2pError } from "../../errors.js";
import { median } from "../../stats/median.js";
import { isOfOnePoint } from "../error.js";
import type { BenchPoint } from "../point.js";
import type { BenchResult, VerifyResult } from "../report.js";
import { assertAnyRuns, refusedRunner } from "./failed.js";
import { groupsOf, turnsOf, type Turn } from "./groups.js";
import { NoiseMeter, type NoiseSource } from "./noise.js";
import type { OpenRunner, SampleRunner } from "./sample.js";
import { Tally } from "./tally.js";
import { noiseWarnings } from "./warnings.js";

/** How far a run is; told several times a second while a sample runs. */
export interface BenchProgress {
  point: BenchPoint;
  /** Samples of all points, and which of them this is, from 1. */
  samples: number;
  sample: number;
  /** `measure`: bytes of this sample so far; else what is done before it, or for its verification. */
  phase: "warm-up" | "measure" | "prepare" | "verify";
  bytes: number;
}

/** What the runs of copies are held against; see CopyLimit. */
export interface LimitMeter {
  /** Bytes a second, over a range of so many bytes. */
  sample(range: number, bs: number, slots: number): number;
  close(): void;
}

export interface MeasureOptions {
  open: OpenRunner;
  /** Null where there is no limit to compare with. `range`, `buffers`: bytes, the most of all points. */
  openLimit(range: number, buffers: number): LimitMeter | null;
  noise: NoiseSource;
  /** Milliseconds, monotonic, from the begin of the report on. */
  readonly clock: () => number;
  /** With the buckets of latencies. */
  histograms: boolean;
  signal: AbortSignal;
  onProgress?: ((progress: BenchProgress) => void) | undefined;
}

export interface Measured {
  /** In the order of the points; those of which there is a sample, or that failed. */
  results: BenchResult[];
  /** What ended the run early; null: nothing did. */
  failure: Error | null;
}

/**
 * Takes the samples of all points, those that one compares in turns, and puts them together. A point
 * that fails ends alone. The signal, or a failure that is not of one point, ends all: what there is until
 * then is in the results, marked as incomplete.
 *
 * Errors: what is wrong with any of the points, before the first of them runs; of points that are some
 * of all, what is wrong with all of them: else only those that cannot run have failed.
 */
export async function measure(
  points: readonly BenchPoint[],
  options: MeasureOptions,
): Promise<Measured> {
  const runners = await openAll(points, options);
  const footprints = [...runners].flatMap(([{ bs }, { footprint }]) =>
    footprint === null ? [] : [{ ...footprint, bs }],
  );
  const limit =
    footprints.length === 0
      ? null
      : options.openLimit(
          Math.max(...footprints.map(({ range }) => range)),
          Math.max(...footprints.map(({ bs, slots }) => bs * slots)),
        );
  const results = new Map<BenchPoint, BenchResult>();
  const run = new Run(options, limit, points);
  let failure: Error | null = null;
  try {
    for (const group of groupsOf(points)) {
      failure = await run.group(group, runners, results);
      if (failure !== null) break;
    }
  } finally {
    limit?.close();
  }
  return { results: points.flatMap((point) => results.get(point) ?? []), failure };
}

async function openAll(
  points: readonly BenchPoint[],
  { open, signal }: MeasureOptions,
): Promise<Map<BenchPoint, SampleRunner>> {
  const runners = new Map<BenchPoint, SampleRunner>();
  const refusals = new Map<BenchPoint, P2pError>();
  for (const point of points) {
    assertGoesOn(signal);
    try {
      if (point.refusal !== null) throw point.refusal;
      runners.set(point, await open(point));
    } catch (error) {
      if (!point.isOneOfAll || !isOfOnePoint(error)) throw error;
      refusals.set(point, error);
      runners.set(point, refusedRunner(point, error));
    }
  }
  assertAnyRuns(points, refusals);
  return runners;
}

/** What is known of a point while its group runs. */
interface Entry {
  runner: SampleRunner;
  tally: Tally;
  noise: NoiseMeter;
  warmUpNs: number;
  /** Of all samples so far, and how many those are. */
  verify: VerifyResult | null;
  verified: number;
}

class Run {
  readonly #options: MeasureOptions;
  readonly #limit: LimitMeter | null;
  readonly #failures = new Map<BenchPoint, P2pError>();
  /** Those that failed take no more. */
  #samples: number;
  #sample = 0;

  constructor(options: MeasureOptions, limit: LimitMeter | null, points: readonly BenchPoint[]) {
    this.#options = options;
    this.#limit = limit;
    this.#samples = points.reduce((sum, { samples }) => sum + samples, 0);
  }

  /** Adds what the group's points gave to `results`; gives what ended it early. */
  async group(
    group: readonly BenchPoint[],
    runners: ReadonlyMap<BenchPoint, SampleRunner>,
    results: Map<BenchPoint, BenchResult>,
  ): Promise<Error | null> {
    const entries = new Map(
      group.map((point): [BenchPoint, Entry] => [
        point,
        {
          runner: runners.get(point)!,
          tally: new Tally(point),
          noise: new NoiseMeter(this.#options.noise),
          warmUpNs: 0,
          verify: null,
          verified: 0,
        },
      ]),
    );
    const limits: number[] = [];
    let failure: Error | null = null;
    try {
      for (const [point, entry] of entries)
        await this.#orFailure(point, point.samples, this.#warmUp(point, entry));
      let round = -1;
      for (const turn of turnsOf(group)) {
        const { point, sample } = turn;
        if (this.#failures.has(point)) continue;
        if (sample !== round) this.#sampleLimit(entries, limits);
        round = sample;
        const left = point.samples - sample - 1;
        await this.#orFailure(point, left, this.#turn(turn, entries.get(point)!));
      }
      this.#sampleLimit(entries, limits);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    for (const [point, { runner, tally, noise, warmUpNs, verify, verified }] of entries) {
      const result = tally.result({
        endpoints: runner.endpoints,
        limit: runner.footprint === null || limits.length === 0 ? null : median(limits),
        warmUpNs,
        verify,
        verified,
        failed: this.#failures.get(point) ?? null,
        warnings: noiseWarnings(noise),
        histograms: this.#options.histograms,
      });
      if (result !== null) results.set(point, result);
    }
    return failure;
  }

  async #warmUp(point: BenchPoint, entry: Entry): Promise<void> {
    const { signal } = this.#options;
    assertGoesOn(signal);
    const { ns } = await this.#timed(point, "warm-up", () => entry.runner.warmUp(signal));
    entry.warmUpNs = ns;
  }

  /**
   * Part of a point's work; where it fails, `left` samples of it will not be taken. Errors: those that
   * are not of this point alone.
   */
  async #orFailure(point: BenchPoint, left: number, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (this.#options.signal.aborted || !isOfOnePoint(error)) throw error;
      this.#failures.set(point, error);
      this.#samples -= left;
    }
  }

  async #turn({ point, sample }: Turn, entry: Entry): Promise<void> {
    const { signal, clock } = this.#options;
    const { runner, tally, noise } = entry;
    this.#sample++;
    const { verifier } = runner;
    assertGoesOn(signal);
    const prepared =
      verifier && (await this.#timed(point, "prepare", () => verifier.prepare(signal)));
    const tell = this.#teller(point, "measure");
    const at = clock();
    tell(0);
    tally.add(await noise.around(() => runner.run(signal, tell)), at / 1000);
    if (verifier === null || prepared === null) return;
    const checked = await this.#timed(point, "verify", () => verifier.check(signal));
    const found = { ...checked.value, runtime_ns: prepared.ns + checked.ns };
    entry.verify = addVerified(entry.verify, found, sample);
    entry.verified++;
  }

  async #timed<T>(
    point: BenchPoint,
    phase: BenchProgress["phase"],
    work: () => Promise<T>,
  ): Promise<{ value: T; ns: number }> {
    // First: what throws here must leave nothing that goes on.
    this.#teller(point, phase)(0);
    const start = this.#options.clock();
    const value = await work();
    return { value, ns: Math.round((this.#options.clock() - start) * 1e6) };
  }

  /** The limit varies with what a shared machine gives, so it takes turns with the samples as well. */
  #sampleLimit(entries: ReadonlyMap<BenchPoint, Entry>, limits: number[]): void {
    const all = [...entries.values()];
    const footprints = all.flatMap(({ runner }) => runner.footprint ?? []);
    if (this.#limit === null || footprints.length === 0) return;
    const range = Math.max(...footprints.map((footprint) => footprint.range));
    const slots = Math.max(...footprints.map((footprint) => footprint.slots));
    limits.push(this.#limit.sample(range, all[0]!.tally.point.bs, slots));
  }

  #teller(point: BenchPoint, phase: BenchProgress["phase"]): (bytes: number) => void {
    const { onProgress } = this.#options;
    const told = { point, samples: this.#samples, sample: this.#sample, phase };
    return (bytes) => {
      onProgress?.({ ...told, bytes });
    };
  }
}

/** `sample`: its number, from 0, by which the first that is wrong is known. */
function addVerified(sum: VerifyResult | null, found: VerifyResult, sample: number): VerifyResult {
  const first = found.first === null ? null : `sample ${sample + 1}: ${found.first}`;
  if (sum === null) return { ...found, first };
  return {
    mode: sum.mode,
    blocks: sum.blocks + found.blocks,
    mismatches: sum.mismatches + found.mismatches,
    first: sum.first ?? first,
    runtime_ns: sum.runtime_ns + found.runtime_ns,
  };
}

/** Errors: INTERRUPTED, or what the signal was aborted with, if that is an error of p2pmem. */
function assertGoesOn(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof P2pError) throw signal.reason;
  throw new P2pError("INTERRUPTED", "interrupted; what was in flight has finished");
}
