import type { Endpoint } from "../io/endpoint.js";
import type { RunPlan } from "../io/run-plan.js";
import type { Provider } from "../p2pmem/provider.js";
import type { RdmaDevice } from "../rdma/device.js";

/**
 * Where blocks rest between NVMe device and NIC: `host` in pinned host memory, `p2pmem` in that of a
 * provider, `cmb` in the NVMe controller's own. `auto`: peer memory where both devices reach it for
 * certain, else host memory.
 */
export type Staging = "auto" | "p2pmem" | "cmb" | "host";

export const STAGINGS: readonly Staging[] = ["auto", "p2pmem", "cmb", "host"];

/** What of a run the source alone decides. */
type StreamRun = Pick<
  RunPlan,
  "rampTime" | "loops" | "timeBased" | "rateIops" | "onBegin" | "onEnd"
>;

/** One half of a stream, and how it goes. Sizes in bytes. */
export interface StreamEndPlan extends StreamRun, Pick<RunPlan, "cpus" | "recordLatency"> {
  role: "source" | "destination";
  /** Of which `length` is not looked at: see `size`. */
  endpoint: Endpoint;
  staging: Staging;
  /** The peer memory to stage in; without it the closest to both devices. */
  provider?: Provider | undefined;
  rdma: RdmaDevice;
  port?: number | undefined;
  gidIndex?: number | undefined;
  /** Bytes in a block: the same at both ends, and a multiple of the namespace's. */
  bs: number;
  /** Blocks in flight; of two ends the smaller number counts. */
  iodepth: number;
  /** Of the range, whole blocks of the namespace: the same at both ends. */
  size: number;
  /** Number of the block to begin with: those before are written already. 0 by default. */
  first?: number | undefined;
  /**
   * Of a destination: no source is trusted but one that sends each block from `first` on once. Without it
   * it may repeat blocks, or leave some out, as measurements do.
   */
  exactlyOnce?: boolean | undefined;
  /** Needed to write to a real device; the loopback machine's may be written freely. */
  allowWrite: boolean;
  /** Of a source: seconds to go over the range again and again; without it each block goes `loops` times. */
  runtime?: number | undefined;
}
