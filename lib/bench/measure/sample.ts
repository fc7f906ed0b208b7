import type { Histogram } from "../../reactor/histogram.js";
import type { Verification } from "../../verify/inspect.js";
import type { BenchPoint, OfEnds, RdmaPort, VerifyMode } from "../point.js";
import type { BenchResult, VerifyResult } from "../report.js";

/** What one sample of a point gave: a run of its own, without its ramp. */
export interface Sample {
  bytes: number;
  /** I/Os, or blocks that were copied. */
  ios: number;
  runtimeNs: number;
  /** See BenchResult.size. */
  size: number | null;
  latency: Histogram;
  /** The two parts of a mixed workload; null of others. */
  reads: Histogram | null;
  writes: Histogram | null;
  cpu: SampleCpu;
  traffic: BenchResult["traffic"];
  /** Of a path over RDMA: what either end has of `cpu` and `traffic`. */
  ends: OfEnds<SampleEnd> | null;
  /** See BenchResult.in_cmb. */
  inCmb: readonly string[];
  /** What is not as the point has it: fewer I/Os in flight, say. */
  notes: readonly string[];
}

/** See RdmaEndReport. */
export interface SampleEnd extends RdmaPort {
  staging: string;
  hostMemoryBytes: number | null;
  rootComplexBytes: number | null;
  cpu: Omit<SampleCpu, "deviceNs">;
}

export interface SampleCpu {
  userNs: number;
  systemNs: number;
  /** The driver's, empty polls left out; null: not known. */
  busyNs: number | null;
  /** Of the loopback machine's devices; null: not known, or on hardware. */
  deviceNs: number | null;
}

/** What a point names, found, and its samples: of p2pmem's own drivers, or of the kernel's. */
export interface SampleRunner {
  /** `src` and `dst` of results; null where nothing is read, or written. */
  readonly endpoints: { src: string | null; dst: string | null };
  /** Of a copy on the loopback machine, for the limit: bytes of its range, and blocks in flight. */
  readonly footprint: { range: number; slots: number } | null;
  /** Null where the point asks for none. */
  readonly verifier: Verifier | null;
  /** Some of the same I/Os that do not count, before the first sample. Errors: as of run(). */
  warmUp(signal: AbortSignal): Promise<void>;
  /**
   * One sample. Errors: those of the run; INTERRUPTED by the signal. `onProgress` is told of the bytes
   * so far.
   */
  run(signal: AbortSignal, onProgress: (bytes: number) => void): Promise<Sample>;
}

/** Looks whether the data of a sample came where they belong, before and after each. */
export interface Verifier {
  prepare(signal: AbortSignal): Promise<void>;
  check(signal: AbortSignal): Promise<SampleVerification>;
}

export type SampleVerification = Omit<VerifyResult, "runtime_ns">;

export function sampleVerification(
  mode: VerifyMode,
  { blocks, mismatches, first }: Verification,
): SampleVerification {
  return { mode, blocks, mismatches, first: first?.message ?? null };
}

/**
 * The runner of a point, after all that can be wrong with it has been looked at; nothing runs yet.
 * Errors: what is wrong with it.
 */
export type OpenRunner = (point: BenchPoint) => Promise<SampleRunner>;
