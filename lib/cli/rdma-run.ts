import { P2pError } from "../errors.js";
import { LoopbackPlatform } from "../platform/loopback.js";
import type { RdmaPerfPlan } from "../rdma-perf/plan.js";
import { runRdmaPerf, type Other } from "../rdma-perf/rdma-perf.js";
import { rowOf } from "../rdma-perf/result.js";
import type { Session } from "../session.js";
import { packageVersion } from "../version.js";
import { describeFailure, EXIT } from "./failure.js";
import { runJob } from "./job.js";
import type { GlobalOptions } from "./options.js";
import { rdmaCsv, rdmaJson, RdmaTable, testLine, type RdmaPerfReport } from "./output/rdma.js";
import { openMemoryOf, type MemorySpec } from "./rdma-memory.js";

export interface RdmaOptions extends GlobalOptions {
  ibDev?: string;
  ibPort?: number;
  gidIndex?: number;
  size?: number;
  all?: boolean;
  iters?: number;
  duration?: number;
  qp?: number;
  txDepth?: number;
  rxDepth?: number;
  cqMod?: number;
  mtu?: number;
  inline_size?: number;
  inlineSize?: number;
  port: number;
  mr: MemorySpec;
  report_gbits?: boolean;
  reportGbits?: boolean;
  inProcess?: boolean;
}

/** One side of a test, or both. Errors: those of runJob(), openMemoryOf() and runRdmaPerf(). */
export async function runRdmaTest(
  plan: RdmaPerfPlan,
  host: string | undefined,
  options: RdmaOptions,
): Promise<number> {
  try {
    return await runJob(options, [], async ({ session, output, signal }) => {
      const { ibPort, gidIndex, timeout, mr, outputFormat } = options;
      const device = session.rdmaDevice(options.ibDev);
      const other = otherOf(host, options, session);
      const sides = other.kind === "in-process" ? 2 : 1;
      const memory = await openMemoryOf(session, device, mr, plan, sides);
      const sideFacts = {
        role: other.kind === "server" ? "client" : other.kind === "client" ? "server" : other.kind,
        device: device.name,
        memory: memory.kind === "p2pmem" ? memory.provider.name : memory.kind,
      } as const;
      const isNormal = outputFormat === "normal";
      const table = new RdmaTable(plan, options.report_gbits ?? options.reportGbits ?? false);
      const { path, mtu, results, serverResults } = await runRdmaPerf(session, {
        ...{ plan, other, device, memory, signal, port: ibPort, gidIndex },
        awaitsLink: isWired(session),
        ...(timeout === undefined ? {} : { timeout }),
        onConnected: (mtu) => {
          if (!isNormal) return;
          const about = testLine(plan, { ...sideFacts, mtu });
          output.write(`${session.platform.description}\n${about}\n\n${table.header}`);
        },
        onResult: (result) => {
          if (isNormal) output.write(table.row(rowOf(plan, result)));
        },
      });
      const report: RdmaPerfReport = {
        version: packageVersion(),
        platform: session.platform.kind,
        test: {
          ...{ verb: plan.verb, measure: plan.measure, queue_pairs: plan.queuePairs },
          ...{ tx_depth: plan.txDepth, duration: plan.duration },
          rx_depth: plan.verb === "send" ? plan.rxDepth : null,
        },
        ...sideFacts,
        port: path.port,
        gid_index: path.gidIndex,
        mtu,
        results: results.map((result) => rowOf(plan, result)),
        server_results: serverResults?.map((result) => rowOf(plan, result)) ?? null,
      };
      if (outputFormat === "json") output.write(rdmaJson(report));
      else if (outputFormat === "csv") output.write(rdmaCsv(report));
      return EXIT.ok;
    });
  } catch (error) {
    if (!(error instanceof P2pError && error.code === "WRONG_DATA")) throw error;
    process.stderr.write(`${describeFailure(error).line!}\n`);
    return EXIT.mismatch;
  }
}

/** Errors: BAD_ARGUMENT. */
function otherOf(host: string | undefined, options: RdmaOptions, session: Session): Other {
  const { port, inProcess } = options;
  // The ports of its NIC are wired to each other.
  const isAlone = session.platform.kind === "loopback" && !isWired(session);
  if (host !== undefined) {
    if (inProcess === true)
      throw new P2pError("BAD_ARGUMENT", "--in-process has both sides here: it takes no host");
    if (isAlone)
      throw new P2pError(
        "BAD_ARGUMENT",
        `no wire of ${session.platform.description} leads to ${host}`,
        { hint: 'leave the host out, or wire two machines: docs/machine-file.md, "wire"' },
      );
    return { kind: "server", host, port };
  }
  if (inProcess ?? isAlone) return { kind: "in-process" };
  return {
    kind: "client",
    port,
    onListening: (listening) => {
      process.stderr.write(`p2pmem: waiting for a client at port ${listening}\n`);
    },
  };
}

/** Whether its NIC's wire goes to another process. */
function isWired({ platform }: Session): boolean {
  return platform instanceof LoopbackPlatform && platform.isWired;
}
