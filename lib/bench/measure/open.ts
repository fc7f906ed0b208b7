import type { CopyPath } from "../../copy/plan.js";
import { P2pError } from "../../errors.js";
import type { Endpoint } from "../../io/endpoint.js";
import type { Session } from "../../session.js";
import { isKernelPath, isRdmaPath, type BenchEndpoint, type BenchPoint } from "../point.js";
import { openCopyRunner } from "./copy-runner.js";
import { openIoRunner } from "./io-runner.js";
import { openKernelRunner } from "./kernel-runner.js";
import { openRdmaRunner } from "./rdma-runner.js";
import type { OpenRunner } from "./sample.js";

/** The runners of points of this session. Errors: what is wrong with a point. */
export function runnerOpener(session: Session, allowWrite: boolean): OpenRunner {
  return (point) => {
    const { rw, path, destination } = point;
    if (isKernelPath(path)) return openKernelRunner(session, point, allowWrite);
    const sources = point.sources.map((source) => driven(source, point));
    if (rw !== "copy") return openIoRunner(session, { ...point, rw, sources }, allowWrite);
    const [source] = sources;
    if (source === undefined || destination === null)
      throw new P2pError("INTERNAL", "a copy without two endpoints");
    const ends = { sources: [source] as const, destination: driven(destination, point) };
    if (isRdmaPath(path)) return openRdmaRunner(session, { ...point, path, ...ends }, allowWrite);
    return openCopyRunner(session, { ...point, path: path as CopyPath, ...ends }, allowWrite);
  };
}

function driven(endpoint: BenchEndpoint, { path }: BenchPoint): Endpoint {
  if ("device" in endpoint) return endpoint;
  throw new P2pError("BAD_ENDPOINT", `the path ${path} does not reach ${endpoint.file}`, {
    hint: "the kernel's devices go with the path kernel-p2p or kernel-host",
  });
}
