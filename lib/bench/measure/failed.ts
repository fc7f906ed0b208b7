/** Points that cannot run or fail, while others can and do not. */
import type { P2pError } from "../../errors.js";
import { formatEndpoint } from "../../io/endpoint.js";
import { formatKernelEndpoint } from "../../kernel/endpoint.js";
import { isMixed } from "../../perf/plan.js";
import type { BenchEndpoint, BenchPoint } from "../point.js";
import type { SampleRunner } from "./sample.js";

/**
 * What fails for every pair of devices is no failure of a pair; but blocks that have no room in any
 * provider may be some of several sizes. Errors: the first of a combination of parameters with which no
 * pair can run.
 */
export function assertAnyRuns(
  points: readonly BenchPoint[],
  failures: ReadonlyMap<BenchPoint, P2pError>,
): void {
  const keysOf = ({ bs, ...point }: BenchPoint): string[] => {
    const pair = { sources: null, destination: null, provider: null, rdma: null, refusal: null };
    const parameters = { ...point, ...pair };
    return [JSON.stringify({ ...parameters, bs }), JSON.stringify(parameters)];
  };
  const running = new Set(points.filter((point) => !failures.has(point)).flatMap(keysOf));
  for (const [point, error] of failures) {
    const [own = "", ofAnySize = ""] = keysOf(point);
    if (!running.has(error.code === "NO_ROOM" ? ofAnySize : own)) throw error;
  }
}

/** Of a point that cannot run: whatever is asked of it says why. */
export function refusedRunner(point: BenchPoint, error: P2pError): SampleRunner {
  return {
    endpoints: endpointsOf(point),
    footprint: null,
    verifier: null,
    warmUp: () => Promise.reject(error),
    run: () => Promise.reject(error),
  };
}

function endpointsOf(point: BenchPoint): SampleRunner["endpoints"] {
  const { rw, rwmixread, sources, destination } = point;
  const from = sources.map(nameOf).join(",");
  if (rw === "copy") return { src: from, dst: destination === null ? null : nameOf(destination) };
  const reads = isMixed(rw) ? rwmixread : rw.endsWith("read") ? 100 : 0;
  return { src: reads > 0 ? from : null, dst: reads < 100 ? from : null };
}

function nameOf(endpoint: BenchEndpoint): string {
  return "file" in endpoint ? formatKernelEndpoint(endpoint) : formatEndpoint(endpoint);
}
