import { formatAnyEndpoint } from "../io/endpoint.js";
import type { RemoteCopyMeasurement, RemoteCopyPlan } from "./copy.js";
import type { EndReport, StagingChoice } from "./protocol.js";

/** One end of a copy between machines. */
export interface RemoteEndResult {
  /** `host`, or the name of a provider; and why. */
  staging: string;
  reason: string;
  /** Of the last connection: bytes that the data made cross there. */
  traffic: EndReport["traffic"];
  /** Of the last connection: bytes that comparing read into host memory, which `traffic` has not. */
  verify_bytes: number;
  /** Of the last connection: of the thread that streamed. */
  cpu: EndReport["cpu"];
}

/** What a copy between machines gave: the object of `results` in the command's JSON. */
export interface RemoteCopyResult {
  path: "rdma";
  src: string;
  dst: string;
  bs: number;
  iodepth: number;
  /** Copied and confirmed by this run of the command. */
  bytes: number;
  /** Confirmed by an earlier one, which left a journal. */
  resumed_bytes: number;
  reconnects: number;
  /** From the first block to the last one's confirmation, with all waits. */
  runtime_ns: number;
  bw_bytes: number;
  /** Of the last connection: begin of a block's read until it is written at the destination. */
  lat_ns: EndReport["lat_ns"];
  /** Null: nothing was compared. */
  verify: { mode: "crc32c"; blocks: number; mismatches: 0 } | null;
  ends: { src: RemoteEndResult; dst: RemoteEndResult };
  notes: string[];
}

export function remoteCopyResult(
  plan: RemoteCopyPlan,
  run: RemoteCopyMeasurement,
): RemoteCopyResult {
  const isPush = plan.from === "local";
  const { own, remote } = run.reports;
  const local = endResult(run.local, own);
  const other = endResult(run.remote, remote);
  const [source, destination] = isPush ? [plan.local, plan.remote] : [plan.remote, plan.local];
  const bytes = run.size - run.resumedBytes;
  return {
    ...{ path: "rdma", src: formatAnyEndpoint(source), dst: formatAnyEndpoint(destination) },
    ...{ bs: plan.bs, iodepth: run.iodepth, bytes, resumed_bytes: run.resumedBytes },
    ...{ reconnects: run.reconnects, runtime_ns: run.elapsedNs },
    bw_bytes: bytes / (run.elapsedNs / 1e9),
    lat_ns: (isPush ? own : remote).lat_ns,
    verify: plan.verify
      ? { mode: "crc32c", blocks: Math.ceil(bytes / plan.bs), mismatches: 0 }
      : null,
    ends: isPush ? { src: local, dst: other } : { src: other, dst: local },
    notes: [...run.notes, ...own.notes],
  };
}

function endResult(
  { memory, reason }: StagingChoice,
  { traffic, verify_bytes, cpu }: EndReport,
): RemoteEndResult {
  return { staging: memory, reason, traffic, verify_bytes, cpu };
}
