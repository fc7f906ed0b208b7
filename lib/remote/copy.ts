import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import { Connection } from "../exchange/connection.js";
import { formatAnyEndpoint, type Endpoint, type RemoteEndpoint } from "../io/endpoint.js";
import { tryAllInTurn } from "../try-all.js";
import { Journal } from "./journal.js";
import { changeOf, knownEndOf, type KnownEnd } from "./known-end.js";
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
 * NO_EXPORT, IN_USE; DEVICE_CHANGED, PEER_CHANGED; BAD_JOURNAL, JOURNAL; DATA_MISMATCH; INTERRUPTED.
 */
export async function runRemoteCopy(
  machine: Machine,
  plan: RemoteCopyPlan,
): Promise<RemoteCopyMeasurement> {
  return new RemoteCopy(machine, plan).run();
}

/** What is known after the first connection, and must not change. */
interface Known {
  size: number;
  local: KnownEnd;
  remote: KnownEnd;
}

class RemoteCopy {
  readonly #machine: Machine;
  readonly #plan: RemoteCopyPlan;
  readonly #reconnect: Reconnect;
  readonly #journal: Journal | null;
  readonly #copy: string;
  readonly #notes = new Set<string>();
  /** Somebody has answered there: what breaks from here on may pass. */
  #isReached = false;
  #known: Known | undefined;
  #confirmed = 0;
  #resumedBytes = 0;
  #beganAt: number | undefined;
  #said: string | undefined;

  constructor(machine: Machine, plan: RemoteCopyPlan) {
    this.#machine = machine;
    this.#plan = plan;
    this.#reconnect = new Reconnect(plan.reconnectMs);
    this.#journal = plan.resume === undefined ? null : Journal.open(plan.resume);
    this.#copy = this.#journal?.copy ?? randomBytes(16).toString("hex");
  }

  async run(): Promise<RemoteCopyMeasurement> {
    try {
      return await this.#connectUntilDone();
    } finally {
      this.#journal?.close();
    }
  }

  async #connectUntilDone(): Promise<RemoteCopyMeasurement> {
    for (;;)
      try {
        const result = await this.#connectOnce();
        this.#journal?.remove();
        return result;
      } catch (error) {
        // An address at which nobody has answered yet may be wrong.
        if (!this.#isReached) throw error;
        await this.#reconnect.wait(error, performance.now(), this.#plan.signal);
        const next =
          this.#known === undefined ? "trying again" : `going on at block ${this.#confirmed}`;
        this.#say(`${(error as Error).message}; ${next}`);
      }
  }

  /** Once, where each try fails in the same way. */
  #say(note: string): void {
    if (note !== this.#said) this.#plan.onNote?.(note);
    this.#said = note;
  }

  async #connectOnce(): Promise<RemoteCopyMeasurement> {
    const { local, remote, key, timeoutMs, signal } = this.#plan;
    // A controller may take long to start: the server waits for no more than a client's first word.
    const here = await this.#machine.range(local);
    const connection = await Connection.connect(remote.host, remote.port, {
      ...{ role: "copy", timeoutMs },
      ...(key === undefined ? {} : { key }),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#isReached = true;
    try {
      const result = await this.#converse(connection, here);
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

  /** `here`: the local range, as it is now. */
  async #converse(connection: Connection, here: OpenRange): Promise<RemoteCopyMeasurement> {
    const { local, remote, from, bs, verify } = this.#plan;
    connection.send({
      ...{ type: "open", copy: this.#copy, namespace: remote.namespace, offset: remote.offset },
      ...{ length: remote.length ?? null, access: from === "remote" ? "read" : "write" },
    });
    const there = await connection.receive(protocol.opened, protocol.OPEN_MS);
    const iodepth = this.#depthFor(there);
    const { size } = this.#agree(here, there);
    const first = this.#confirmed;
    connection.send({ type: "plan", size, bs, iodepth, verify, first, place: here.place });
    const theirs = await connection.receive(protocol.offer, protocol.OPEN_MS);
    const role = from === "local" ? "source" : "destination";
    const { stream, volume, commandMs } = await this.#machine.openEnd({
      ...{ role, endpoint: local, size, bs, iodepth, first },
    });
    try {
      stream.connect(theirs.offer);
      connection.send({ type: "offer", offer: stream.offer, staging: stream.staging });
      await connection.receive(protocol.ready, protocol.OPEN_MS);
      this.#beganAt ??= performance.now();
      const [source, destination] = this.#inOrder(here.place, there.place);
      const reports = await transfer(connection, stream, volume, {
        ...{ role, size, bs, first, verify, commandMs },
        places: { source, destination },
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
        ...{ local: stream.staging, remote: theirs.staging, reports, notes: [...this.#notes] },
      };
    } finally {
      await tryAllInTurn([() => stream.close(), () => volume.close()]);
    }
  }

  /** Errors: those of sizeOf(); DEVICE_CHANGED, PEER_CHANGED; BAD_JOURNAL, JOURNAL. */
  #agree(here: OpenRange, there: protocol.Opened): Known {
    const [local, remote] = [knownEndOf(here), knownEndOf(there)];
    if (this.#known !== undefined) {
      const { namespace } = this.#plan.remote;
      this.#assertSame("DEVICE_CHANGED", here.place.name, this.#known.local, local);
      this.#assertSame("PEER_CHANGED", namespace, this.#known.remote, remote);
      return this.#known;
    }
    const { from, size, bs } = this.#plan;
    const lengthOf = (name: "sourceLength" | "destinationLength", length?: number) =>
      length === undefined ? {} : { [name]: length };
    const isPush = from === "local";
    const [source, destination] = this.#inOrder(this.#plan.local, this.#plan.remote);
    const agreed: Known = {
      size: sizeOf(
        {
          ...(size === undefined ? {} : { size }),
          ...{ bs, ...lengthOf("sourceLength", source.length) },
          ...lengthOf("destinationLength", destination.length),
        },
        isPush ? here : there,
        isPush ? there : here,
      ),
      ...{ local, remote },
    };
    this.#beginJournal(agreed);
    this.#known = agreed;
    return agreed;
  }

  #assertSame(code: string, name: string, before: KnownEnd, now: KnownEnd): void {
    const change = changeOf(before, now);
    if (change === null) return;
    throw new P2pError(code, `${name} is not what it was when the copy began: ${change}`, {
      hint: "begin anew, if that is what you mean to copy now",
    });
  }

  /** Blocks in flight. Errors: BAD_SIZE. */
  #depthFor({ maxBs, maxIodepth }: protocol.Opened): number {
    const { bs, iodepth } = this.#plan;
    if (bs > maxBs)
      throw new P2pError("BAD_SIZE", `the server takes blocks of at most ${maxBs} bytes`, {
        hint: `--bs ${maxBs}, or serve with a larger --max-bs`,
      });
    if (iodepth <= maxIodepth) return iodepth;
    this.#notes.add(`${maxIodepth} blocks in flight, not ${iodepth}: the server takes no more`);
    return maxIodepth;
  }

  #beginJournal({ size, local, remote }: Known): void {
    if (this.#journal === null) return;
    const { bs, verify } = this.#plan;
    const [from, to] = this.#inOrder(this.#plan.local, this.#plan.remote);
    const [src, dst] = this.#inOrder(local, remote);
    const names = { src: formatAnyEndpoint(from), dst: formatAnyEndpoint(to) };
    this.#journal.begin({ ...names, ends: { src, dst }, size, bs, verify });
    this.#confirmed = this.#journal.confirmed;
    this.#resumedBytes = Math.min(size, this.#confirmed * bs);
  }

  /** Source and destination of both. */
  #inOrder<L, R>(local: L, remote: R): [L | R, L | R] {
    return this.#plan.from === "local" ? [local, remote] : [remote, local];
  }

  #confirm(blocks: number): void {
    this.#journal?.confirm(blocks);
    this.#confirmed = blocks;
    this.#reconnect.progress();
  }
}
