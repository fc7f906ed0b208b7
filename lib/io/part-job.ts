import type { EngineJob, EngineOutcome } from "../reactor/engine-job.js";

/** What a job goes by that moves blocks: its part of a run's range. */
export interface PartJob extends EngineJob {
  slots: number;
  /** Bytes of a copy block, and of the part's last one. */
  blockBytes: number;
  lastBlockBytes: number;
  /** Copy blocks in the part. */
  rangeBlocks: number;
  /** How often to go through the part, where no time ends the run. */
  loops: number;
  /** Bytes of a {@link Histogram}. */
  latency: SharedArrayBuffer;
}

/** What it did of that, beyond the ramp. */
export interface PartOutcome extends EngineOutcome {
  /** Bytes and blocks that arrived. */
  bytes: number;
  blocks: number;
  /** The same of the ramp. */
  rampBytes: number;
}
