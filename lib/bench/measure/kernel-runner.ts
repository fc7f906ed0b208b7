import { P2pError } from "../../errors.js";
import { formatKernelEndpoint, type KernelEndpoint } from "../../kernel/endpoint.js";
import { runKernel } from "../../kernel/kernel.js";
import {
  readsSources,
  writesSources,
  type KernelMemory,
  type KernelPlan,
} from "../../kernel/plan.js";
import { isMixed } from "../../perf/plan.js";
import type { Session } from "../../session.js";
import type { BenchEndpoint, BenchPoint } from "../point.js";
import type { Sample, SampleRunner } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/** A point that the kernel's own driver runs. Errors: BAD_ENDPOINT, UNSUPPORTED. */
export function openKernelRunner(
  session: Session,
  point: BenchPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  if (point.verify !== null)
    throw new P2pError("UNSUPPORTED", `the path ${point.path} is not verified`, {
      hint: "canaries prove its memory first; give it a job of its own, without verify",
      parameter: "verify",
    });
  const plan = planOf(point, allowWrite);
  const sources = plan.sources.map(formatKernelEndpoint).join(",");
  const destination = plan.destination === null ? null : formatKernelEndpoint(plan.destination);
  return Promise.resolve({
    endpoints: {
      src: readsSources(plan) ? sources : null,
      dst: destination ?? (writesSources(plan) ? sources : null),
    },
    footprint: null,
    verifier: null,
    warmUp: async (signal) => {
      await runKernel({ ...warmUpOf(plan), signal }, session);
    },
    run: (signal, onProgress) => sampleOf(session, { ...plan, signal, onProgress }),
  });
}

function planOf(point: BenchPoint, allowWrite: boolean): KernelPlan {
  const { provider, rw, bs, iodepth, numjobs, rwmixread, offset, size, runtime, loops } = point;
  const { rampTime, rateIops, cpusAllowed, randseed, path, timeBased } = point;
  return {
    ...{ provider, rw, bs, iodepth, numjobs, rwmixread, offset, size, runtime, loops },
    ...{ rampTime, rateIops, cpusAllowed, randseed, timeBased, allowWrite },
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

async function sampleOf(session: Session, plan: KernelPlan): Promise<Sample> {
  const run = await runKernel(plan, session);
  const { bytes, ios, runtimeNs, size, latency, reads, writes, cpu, traffic, notes } = run;
  const isMix = plan.rw !== "copy" && isMixed(plan.rw);
  const parts = isMix ? { reads, writes } : { reads: null, writes: null };
  return {
    ...{ bytes, ios, runtimeNs, size, latency, ...parts, traffic, notes, inCmb: [] },
    cpu: { ...cpu, busyNs: null, deviceNs: null },
  };
}
