import type { Traffic } from "../io/traffic.js";
import type { Histogram } from "../reactor/histogram.js";

/** What one end of a stream did. */
export interface StreamOutcome {
  /** Bytes and blocks that were written at the destination; those that counted. */
  bytes: number;
  blocks: number;
  /** First block to last credit; of a destination from when the source said that it counts. */
  runtimeNs: number;
  /** Of a source: begin of the read until the credit. Of a destination: arrival to the end of the write. */
  latency: Histogram;
  /**
   * Of this end's reactor alone; `busyNs` leaves out the polls that found nothing. `deviceNs`: of the
   * loopback machine's devices, all of them; of a source, and null where that is not known.
   */
  cpu: { userNs: number; systemNs: number; busyNs: number; deviceNs: number | null };
  /**
   * Of this end, derived from path and route; of a source on the loopback machine counted there, which is
   * of the whole machine: of both ends, where they are in one.
   */
  traffic: Traffic;
  /** Of this end alone, derived. */
  ownTraffic: Traffic;
  /** Blocks in flight: may be fewer than the plan asked for; `notes` says why. */
  iodepth: number;
  notes: string[];
}
