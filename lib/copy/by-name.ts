import type { Session } from "../session.js";
import { bytesOf } from "../units.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { VerifyMode } from "../verify/mode.js";
import { runCopy } from "./copy.js";
import { parseEndpoint } from "../io/endpoint.js";
import { needsProvider, type CopyPath, type CopyPlan } from "./plan.js";
import { copyResult } from "./result.js";
import type { CopyResult } from "./result.js";
import { prepareToVerify } from "./verified.js";

/** What {@link copy} copies, in the words of the command line. */
export interface CopyOptions {
  /** `BDF[/NSID][@OFFSET[+LENGTH]]` */
  src: string;
  dst: string;
  /** `p2p` by default; nothing falls back to another path by itself. */
  via?: CopyPath;
  /** `BDF[/cmb|/pmr|/dm|/barN[@OFFSET[+LENGTH]]]`: whose memory the blocks go through. */
  provider?: string;
  /** Bytes in a block, or a size such as `128k`, the default. */
  bs?: string | number;
  /** Blocks in flight, of each job; 32 by default. */
  iodepth?: number;
  /** Threads that share the work, each with its own queues and part of the range; 1 by default. */
  jobs?: number;
  /** How commands say where their data is; by default as the session was opened. */
  descriptors?: Descriptors;
  /** The submission queues lie in the CMB of their controller, if that has one which takes them. */
  sqInCmb?: boolean;
  /** So do the PRP lists or SGLs. */
  listsInCmb?: boolean;
  /** Bytes to copy; by default the endpoint's length, or all of the source. */
  size?: string | number;
  /** Seconds to go over the range again and again, in place of once. */
  runtime?: number;
  /**
   * Afterwards look whether all arrived. `true` is `memcmp`: the destination is compared with the
   * source, which is read again. The other modes overwrite the source before, so on the loopback machine only.
   */
  verify?: boolean | VerifyMode;
  /** Needed to write to a real device. */
  allowWrite?: boolean;
  signal?: AbortSignal;
  onProgress?: (bytes: number, total: number | null) => void;
}

/**
 * Copies, and says what it took. Look at `verify.mismatches` of the result if you asked for it.
 * Errors: BAD_ENDPOINT, BAD_SIZE, those of Session.provider(), prepareToVerify(), runCopy() and
 * verifyDestination().
 */
export async function copy(session: Session, options: CopyOptions): Promise<CopyResult> {
  const { provider, via = "p2p" } = options;
  const plan: CopyPlan = {
    source: parseEndpoint(options.src),
    destination: parseEndpoint(options.dst),
    path: via,
    provider:
      provider === undefined || !needsProvider(via) ? null : await session.provider(provider),
    bs: bytesOf(options.bs ?? "128k"),
    iodepth: options.iodepth ?? 32,
    sqInCmb: options.sqInCmb ?? false,
    listsInCmb: options.listsInCmb ?? false,
    jobs: options.jobs ?? 1,
    allowWrite: options.allowWrite ?? false,
    ...(options.size === undefined ? {} : { size: bytesOf(options.size) }),
    ...(options.descriptors === undefined ? {} : { descriptors: options.descriptors }),
    ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  };
  const mode = options.verify === true ? "memcmp" : options.verify;
  const verify =
    mode === undefined || mode === false ? null : await prepareToVerify(session, plan, mode);
  const run = await runCopy(session, plan);
  return copyResult(plan, run, verify && (await verify(run.covered)));
}
