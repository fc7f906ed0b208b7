/** Two ends of a stream in one process, on one NIC: its two ports, where it has two. */
import { createHash } from "node:crypto";
import { parseEndpoint } from "#lib/io/endpoint.js";
import type { RdmaDevice } from "#lib/rdma/device.js";
import type { Session } from "#lib/session.js";
import { StreamEnd } from "#lib/stream/end.js";
import type { StreamOutcome } from "#lib/stream/outcome.js";
import type { StreamEndPlan } from "#lib/stream/plan.js";
import type { RunOptions } from "#lib/stream/run.js";
import { load, namespaceOf, pattern, store } from "../device/machine.js";

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** What two ends are, and what both have. */
export interface StreamSetting {
  source: string;
  destination: string;
  both?: Partial<StreamEndPlan>;
  atSource?: Partial<StreamEndPlan>;
  atDestination?: Partial<StreamEndPlan>;
}

export function plansOf(
  rdma: RdmaDevice,
  { source, destination, both, atSource, atDestination }: StreamSetting,
): [StreamEndPlan, StreamEndPlan] {
  const common = {
    ...{ staging: "host" as const, rdma, bs: 16 * KIB, iodepth: 8, size: 4 * MIB },
    ...{ allowWrite: true, ...both },
  };
  const { ports } = rdma.attributes;
  return [
    { ...common, role: "source", endpoint: parseEndpoint(source), port: 1, ...atSource },
    {
      ...{ ...common, role: "destination", endpoint: parseEndpoint(destination) },
      ...{ port: ports, ...atDestination },
    },
  ];
}

export class StreamPair {
  readonly source: StreamEnd;
  readonly destination: StreamEnd;

  static async open(
    session: Session,
    [source, destination]: readonly [StreamEndPlan, StreamEndPlan],
  ): Promise<StreamPair> {
    const to = await StreamEnd.open(session, destination);
    try {
      const from = await StreamEnd.open(session, source);
      const pair = new StreamPair(from, to);
      // As JSON, as they are told to each other.
      from.connect(JSON.parse(JSON.stringify(to.offer)) as StreamEnd["offer"]);
      to.connect(JSON.parse(JSON.stringify(from.offer)) as StreamEnd["offer"]);
      return pair;
    } catch (error) {
      await to.close();
      throw error;
    }
  }

  private constructor(source: StreamEnd, destination: StreamEnd) {
    this.source = source;
    this.destination = destination;
  }

  /** Both; where one fails the other one is ended. What either one gave, or why it failed. */
  async run(
    options: RunOptions = {},
  ): Promise<{ source: StreamOutcome | Error; destination: StreamOutcome | Error }> {
    const other = new AbortController();
    const { signal: given } = options;
    const signal = given ? AbortSignal.any([given, other.signal]) : other.signal;
    const [source, destination] = await Promise.all(
      [this.source, this.destination].map((end) =>
        end.run({ ...options, signal }).catch((error: unknown) => {
          other.abort();
          return error as Error;
        }),
      ),
    );
    return { source: source!, destination: destination! };
  }

  /** The same, of a stream that is to go well. Errors: those of either end. */
  async goWell(
    options: RunOptions = {},
  ): Promise<{ source: StreamOutcome; destination: StreamOutcome }> {
    const { source, destination } = await this.run(options);
    for (const outcome of [source, destination]) if (outcome instanceof Error) throw outcome;
    return { source: source as StreamOutcome, destination: destination as StreamOutcome };
  }

  async close(): Promise<void> {
    await this.source.close();
    await this.destination.close();
  }
}

/** What one end gave, for a person. */
export function said(outcome: StreamOutcome | Error): string {
  return outcome instanceof Error ? String(outcome) : `${outcome.bytes} bytes went well`;
}

/** Fills a part of a namespace by its seed. */
export async function fill(
  session: Session,
  endpoint: string,
  length: number,
  seed: number,
): Promise<void> {
  const { device, nsid, offset } = parseEndpoint(endpoint);
  const namespace = await namespaceOf(session, device, nsid);
  await store(session, namespace, offset, pattern(length, seed));
}

export async function hashOf(session: Session, endpoint: string, length: number): Promise<string> {
  const { device, nsid, offset } = parseEndpoint(endpoint);
  const namespace = await namespaceOf(session, device, nsid);
  return createHash("sha256")
    .update(await load(session, namespace, offset, length))
    .digest("hex");
}
