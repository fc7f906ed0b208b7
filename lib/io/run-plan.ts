/**
 * How the data pointers of I/Os come about: `once`, before the run, for memory that stays mapped in the
 * IOMMU; `each`, for each I/O again, with a mapping of its own that ends when the I/O has completed, as
 * drivers do that register memory for each I/O.
 */
export type Registration = "once" | "each";

export const REGISTRATIONS: readonly Registration[] = ["once", "each"];

/** What a plan says of its run, whatever its I/Os are: copies of blocks, or reads and writes. */
export interface RunPlan {
  /**
   * Threads that share the work, each with its own queues; 1 by default. Of a range that is gone
   * through in order each has its own part.
   */
  jobs?: number;
  /** The processors to pin the threads to, in turn; without any they run where the scheduler puts them. */
  cpus?: readonly number[];
  /**
   * Seconds of the same I/Os before those that count; 0 by default. What is in flight at its end is
   * waited for, so that bytes, latencies, CPU time and traffic are those of the I/Os that count alone.
   */
  rampTime?: number;
  /** Where no time ends the run: how often it goes through the range; 1 by default. */
  loops?: number;
  /**
   * Where a time ends the run: false: so does its work (`loops` times the range), if it is done before.
   * Default: true.
   */
  timeBased?: boolean;
  /**
   * I/Os (or blocks) a second that each job begins, at most: evenly spaced, and what was missed is not
   * made up for by a burst. Null, the default: as fast as it goes. Latency counts from submission.
   */
  rateIops?: number | null;
  /** False: no latency is recorded, to see what that costs. Default: true. */
  recordLatency?: boolean;
  /** Default: `once`. */
  registration?: Registration;
  /**
   * For meters of the caller's own: what counts begins, or has ended. Nothing is in flight then, and the
   * threads of the run stand still. Once each, on the calling thread; `onEnd` not where the run fails.
   */
  onBegin?(): void;
  onEnd?(): void;
}
