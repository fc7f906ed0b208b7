import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Provider } from "../p2pmem/provider.js";
import type { RunPlan } from "../io/run-plan.js";
import type { Endpoint } from "../io/endpoint.js";

/**
 * How a block travels: `p2p` through memory of a peer device, `host` through pinned host memory,
 * `cpu` through both, with a copy by the CPU from the one to the other. With `nvme-copy` it does not
 * travel: the controller that has both namespaces, or the one, copies inside (Copy commands).
 */
export type CopyPath = "p2p" | "host" | "cpu" | "nvme-copy";

export const COPY_PATHS: readonly CopyPath[] = ["p2p", "host", "cpu", "nvme-copy"];

/** Whether blocks go through memory of a provider. */
export function needsProvider(path: CopyPath): boolean {
  return path === "p2p" || path === "cpu";
}

/** What to copy, and how. Sizes in bytes. */
export interface CopyPlan extends RunPlan {
  source: Endpoint;
  destination: Endpoint;
  path: CopyPath;
  /** The peer memory of the paths `p2p` and `cpu`. */
  provider: Provider | null;
  /** Bytes in a copy block: a multiple of both namespaces' logical blocks. */
  bs: number;
  /** Blocks in flight, of each job. */
  iodepth: number;
  /** How commands say where their data is; without it as the session was opened. */
  descriptors?: Descriptors;
  /** The submission queues lie in the CMB of their controller, if that has one which takes them. */
  sqInCmb?: boolean;
  /** So do the lists that commands name their memory by. */
  listsInCmb?: boolean;
  /** Without it the endpoints say how much, else all from the source's offset to its end. */
  size?: number;
  /** Seconds to run, over and over through the range; without it each block is copied `loops` times. */
  runtime?: number;
  /** Needed to write to a real device; the loopback machine's may be written freely. */
  allowWrite: boolean;
  /** Begins nothing more, finishes what is in flight, and rejects with INTERRUPTED. */
  signal?: AbortSignal;
  /** `total` is null where time and not size ends the run. */
  onProgress?(bytes: number, total: number | null): void;
}
