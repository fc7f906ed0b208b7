import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import { Connection } from "../exchange/connection.js";
import { formatAnyEndpoint, type Endpoint, type RemoteEndpoint } from "../io/endpoint.js";
import { tryAllInTurn } from "../try-all.js";
import { hear } from "./hear.js";
import { Journal } from "./journal.js";
import type { Machine, OpenRange } from "./machine.js";
import * as protocol from "./protocol.js";
import { sizeOf } from "./range.js";
import { Reconnect } from "./reconnect.js";
import { transfer, type TransferReports } from "./transfer.js";

/** A copy between this machine and another one that serves. Sizes in bytes. */
export interface RemoteCopyPlan {
  local: Endpoint;
  remote: RemoteEndpoint;
  /** Which of both is the source. */
  from: "local" | "remote";
  size?: number;
  bs: number;
  iodepth: number;
  /** Compare both ends by CRC-32C. */
  verify: boolean;
  key?: Uint8Array;
  /** How long the server may be silent: milliseconds. */
  timeoutMs: number;
  /** How long to try again after a connection broke, without any progress: milliseconds; 0: not at all. */
  reconnectMs: number;
  /** A journal to go on from, and to write. */
  resume?: string;
  signal?: AbortSignal;
  onProgress?(bytes: number, total: number): void;
  /** One line for a person, of what is no result. */
  onNote?(note: string): void;
}

export interface RemoteCopyMeasurement {
  size: number;
  iodepth: number;
  /** Bytes that were confirmed before this run began, by a journal. */
  resumedBytes: number;
  /** How often it connected again. */
  reconnects: number;
  /** From the first connection's stream to the last block's confirmation, waits included. */
  elapsedNs: number;
  /** Of the last connection. */
  local: protocol.StagingChoice;
  remote: protocol.StagingChoice;
  reports: TransferReports;
  notes: string[];
}

/**
 * Copies as the plan says, and goes on at the last confirmed block when the connection breaks. Errors:
 * those of Connection.connect() and of the server's Machine and this one's; BAD_RANGE, UNALIGNED, BAD_SIZE;
 * NO_EXPORT, IN_USE; PEER_CHANGED; BAD_JOURNAL, JOURNAL; DATA_MISMATCH; INTERRUPTED.
 */
export function runRemoteCopy(
  machine: Machine,
  plan: RemoteCopyPlan,
): Promise<RemoteCopyMeasurement> {
  return new RemoteCopy(machine, plan).run();
}

/** What is known after the first connection, and must not change. */
interface Known {
  size: number;
  iodepth: number;
  identity: string;
}

class RemoteCopy {
  readonly #machine: Machine;
  readonly #plan: RemoteCopyPlan;
  readonly #reconnect: Reconnect;
  readonly #copy: string;
  readonly #notes: string[] = [];
  #known: Known | undefined;
  #journal: Journal | undefined;
  #confirmed = 0;
  #resumedBytes = 0;
  #beganAt: number | undefined;
  #said: string | undefined;

  constructor(machine: Machine, plan: RemoteCopyPlan) {
    this.#machine = machine;
    this.#plan = plan;
    this.#reconnect = new Reconnect(plan.reconnectMs);
    const known = plan.resume === undefined ? null : Journal.copyOf(plan.resume);
    this.#copy = known ?? randomBytes(16).toString("hex");
  }

  async run(): Promise<RemoteCopyMeasurement> {
    for (;;)
      try {
        const result = await this.#connectOnce();
        this.#journal?.remove();
        return result;
      } catch (error) {
        // Where nobody was reached yet there is nothing to go on with.
        if (this.#known === undefined) throw error;
        await this.#reconnect.wait(error, performance.now(), this.#plan.signal);
        this.#say(`${(error as Error).message}; going on at block ${this.#confirmed}`);
      }
  }

  /** Once, where each try fails in the same way. */
  #say(note: string): void {
    if (note !== this.#said) this.#plan.onNote?.(note);
    this.#said = note;
  }

  async #connectOnce(): Promise<RemoteCopyMeasurement> {
    const { remote, key, timeoutMs, signal } = this.#plan;
    const connection = await Connection.connect(remote.host, remote.port, {
      ...{ role: "copy", timeoutMs },
      ...(key === undefined ? {} : { key }),
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const result = await this.#converse(connection);
      // The server closes when it has let go of the range: who copies next finds it free.
      const closed = new Promise<void>((resolve) => {
        connection.onClose(() => {
          resolve();
        });
      });
      await Promise.race([closed, delay(timeoutMs, undefined, { ref: false })]);
      return result;
    } catch (error) {
      connection.fail(
        error instanceof P2pError ? error : new P2pError("INTERNAL", "a mistake in the client"),
      );
      throw error;
    } finally {
      connection.close();
    }
  }

  async #converse(connection: Connection): Promise<RemoteCopyMeasurement> {
    const { local, remote, from, bs, verify } = this.#plan;
    const here = await this.#machine.range(local);
    connection.send({
      ...{ type: "open", copy: this.#copy, namespace: remote.namespace, offset: remote.offset },
      ...{ length: remote.length ?? null, access: from === "remote" ? "read" : "write" },
    });
    const there = await hear(connection, protocol.opened);
    const { size, iodepth } = this.#agree(here, there);
    const first = this.#confirmed;
    connection.send({ type: "plan", size, bs, iodepth, verify, first, place: here.place });
    const theirs = await hear(connection, protocol.offer);
    const role = from === "local" ? "source" : "destination";
    const { stream, volume } = await this.#machine.openEnd({
      ...{ role, endpoint: local, size, bs, iodepth },
    });
    try {
      stream.connect(theirs.offer);
      connection.send({ type: "offer", offer: stream.offer, staging: stream.staging });
      await hear(connection, protocol.ready);
      this.#beganAt ??= performance.now();
      const places =
        from === "local"
          ? { source: here.place, destination: there.place }
          : { source: there.place, destination: here.place };
      const reports = await transfer(connection, stream, volume, {
        ...{ role, size, bs, first, verify, places },
        onConfirmed: (blocks) => {
          this.#confirm(blocks);
        },
        onProgress: (bytes) => {
          this.#plan.onProgress?.(Math.min(size, first * bs + bytes), size);
        },
      });
      return {
        ...{ size, iodepth: reports.own.iodepth, resumedBytes: this.#resumedBytes },
        reconnects: this.#reconnect.count,
        elapsedNs: (performance.now() - this.#beganAt) * 1e6,
        ...{ local: stream.staging, remote: theirs.staging, reports, notes: this.#notes },
      };
    } finally {
      await tryAllInTurn([() => stream.close(), () => volume.close()]);
    }
  }

  /** Errors: those of sizeOf(); BAD_SIZE; PEER_CHANGED; BAD_JOURNAL, JOURNAL. */
  #agree(here: OpenRange, there: protocol.Opened): Known {
    const { from, bs, iodepth, local, remote, size } = this.#plan;
    const known = this.#known;
    if (known !== undefined) {
      if (known.identity === there.identity) return known;
      throw new P2pError("PEER_CHANGED", `${remote.namespace} is another namespace than before`, {
        hint: `it was ${known.identity}, and is ${there.identity}: begin anew`,
      });
    }
    if (bs > there.maxBs)
      throw new P2pError("BAD_SIZE", `the server takes blocks of at most ${there.maxBs} bytes`, {
        hint: `--bs ${there.maxBs}, or serve with a larger --max-bs`,
      });
    const depth = Math.min(iodepth, there.maxIodepth);
    if (depth < iodepth)
      this.#notes.push(`${depth} blocks in flight, not ${iodepth}: the server takes no more`);
    const lengthOf = (name: "sourceLength" | "destinationLength", length?: number) =>
      length === undefined ? {} : { [name]: length };
    const [source, destination] = from === "local" ? [local, remote] : [remote, local];
    const [sourceRange, destinationRange] = from === "local" ? [here, there] : [there, here];
    const agreed: Known = {
      size: sizeOf(
        {
          ...(size === undefined ? {} : { size }),
          ...{ bs, ...lengthOf("sourceLength", source.length) },
          ...lengthOf("destinationLength", destination.length),
        },
        sourceRange,
        destinationRange,
      ),
      iodepth: depth,
      identity: there.identity,
    };
    this.#openJournal(agreed, source, destination, sourceRange, destinationRange);
    this.#known = agreed;
    return agreed;
  }

  #openJournal(
    { size }: Known,
    source: Endpoint | RemoteEndpoint,
    destination: Endpoint | RemoteEndpoint,
    from: { identity: string },
    to: { identity: string },
  ): void {
    const { resume, bs } = this.#plan;
    if (resume === undefined) return;
    const [src, dst] = [formatAnyEndpoint(source), formatAnyEndpoint(destination)];
    const identities = { src: from.identity, dst: to.identity };
    this.#journal = Journal.open(resume, { src, dst, identities, size, bs }, this.#copy);
    this.#confirmed = this.#journal.confirmed;
    this.#resumedBytes = Math.min(size, this.#confirmed * bs);
  }

  #confirm(blocks: number): void {
    this.#journal?.confirm(blocks);
    this.#confirmed = blocks;
    this.#reconnect.progress();
  }
}
