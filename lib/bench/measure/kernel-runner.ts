import { P2pError } from "../../errors.js";
import type { Range } from "../../extents/ranges.js";
import { formatKernelEndpoint, type KernelEndpoint } from "../../kernel/endpoint.js";
import { checkKernel, runKernel, type KernelMeasurement } from "../../kernel/kernel.js";
import {
  readsSources,
  writesSources,
  type KernelMemory,
  type KernelPlan,
} from "../../kernel/plan.js";
import {
  blotKernelDestination,
  prepareKernelSource,
  verifyKernelCopy,
} from "../../kernel/verify.js";
import { isMixed } from "../../perf/plan.js";
import type { Session } from "../../session.js";
import type { BenchEndpoint, BenchPoint } from "../point.js";
import { copyVerifier } from "./copy-verifier.js";
import { VERIFIED_RANGE } from "./ranges.js";
import type { Sample, SampleRunner } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/**
 * A point that the kernel's own driver runs. Its devices are opened, its memory is proved, and all is
 * let go again. Errors: those of checkKernel(); BAD_ENDPOINT, UNSUPPORTED.
 */
export async function openKernelRunner(
  session: Session,
  point: BenchPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  if (point.verify !== null && point.rw !== "copy")
    throw new P2pError("UNSUPPORTED", `${point.rw} by the path ${point.path} is not verified`, {
      hint: "verify copies (rw: copy), or leave out verify",
      parameter: "verify",
    });
  const plan = planOf(point, allowWrite);
  await checkKernel(plan);
  const sources = plan.sources.map(formatKernelEndpoint).join(",");
  const destination = plan.destination === null ? null : formatKernelEndpoint(plan.destination);
  let covered: readonly Range[] = [];
  return {
    endpoints: {
      src: readsSources(plan) ? sources : null,
      dst: destination ?? (writesSources(plan) ? sources : null),
    },
    footprint: null,
    verifier: copyVerifier(point.verify, {
      markSource: (signal, mode, seed) => prepareKernelSource({ ...plan, signal }, { mode, seed }),
      blotDestination: (signal, seed) => blotKernelDestination({ ...plan, signal }, seed),
      verify: (signal, mode, seed) =>
        verifyKernelCopy({ ...plan, signal }, covered, { mode, seed }),
    }),
    warmUp: async (signal) => {
      await runKernel({ ...warmUpOf(plan), signal }, session);
    },
    run: async (signal, onProgress) => {
      const run = await runKernel({ ...plan, signal, onProgress }, session);
      covered = run.covered ?? [];
      return sampleOf(plan, run);
    },
  };
}

function planOf(point: BenchPoint, allowWrite: boolean): KernelPlan {
  const { provider, rw, bs, iodepth, numjobs, rwmixread, offset, size, runtime, loops } = point;
  const { rampTime, rateIops, cpusAllowed, randseed, path, timeBased } = point;
  return {
    ...{ provider, rw, bs, iodepth, numjobs, rwmixread, offset, size, runtime, loops },
    ...{ rampTime, rateIops, cpusAllowed, randseed, timeBased, allowWrite },
    ...(point.verify === null ? {} : { mostSize: VERIFIED_RANGE }),
    path: path as KernelMemory,
    sources: point.sources.map(ofKernel),
    destination: point.destination === null ? null : ofKernel(point.destination),
  };
}

function ofKernel(endpoint: BenchEndpoint): KernelEndpoint {
  if ("file" in endpoint) return endpoint;
  throw new P2pError("BAD_ENDPOINT", `the kernel's paths do not reach ${endpoint.device}`, {
    hint: "name /dev/nvmeXnY or file:PATH",
  });
}

function sampleOf(plan: KernelPlan, run: KernelMeasurement): Sample {
  const { bytes, ios, runtimeNs, size, latency, reads, writes, cpu, traffic } = run;
  const isMix = plan.rw !== "copy" && isMixed(plan.rw);
  const parts = isMix ? { reads, writes } : { reads: null, writes: null };
  const notes = run.isRegistered
    ? run.notes
    : [...run.notes, `buffers not registered: ${REASONS[plan.path]}`];
  return {
    ...{ bytes, ios, runtimeNs, size, latency, ...parts, traffic, ends: null, notes, inCmb: [] },
    cpu: { ...cpu, busyNs: null, deviceNs: null },
  };
}

const REASONS: Record<KernelMemory, string> = {
  "kernel-p2p": "the kernel pins no p2pmem for long, and looks up its pages for each I/O",
  "kernel-host": "io_uring did not take them, so the kernel pins their pages for each I/O",
};
