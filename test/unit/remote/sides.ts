/** Two fake machines, one that serves and one that copies, with a network between them that can be cut. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseEndpoint } from "#lib/io/endpoint.js";
import {
  runRemoteCopy,
  type RemoteCopyMeasurement,
  type RemoteCopyPlan,
} from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import { Server, type ServerOptions } from "#lib/remote/server.js";
import { HOST } from "../../support/exchange.js";
import { FakeMachine, Network, Store, type Wire } from "../../support/fake-copy.js";

export const BS = 4096;
export const OURS = "0000:01:00.0/1";
export const THEIRS = "0000:02:00.0/1";

export class Sides {
  readonly ours: Store;
  readonly theirs: Store;
  readonly client: FakeMachine;
  readonly remote: FakeMachine;
  readonly network: Network;
  readonly directory = mkdtempSync(path.join(tmpdir(), "p2pmem-remote-"));
  /** What the network led to first, or the test's next one: closed with the rest. */
  server!: Server;

  /** Serves "scratch", all that there is, and "part" of it. `bytes`: of both stores. */
  static async open(
    bytes: { ours: number; theirs: number },
    options: Partial<ServerOptions> = {},
  ): Promise<Sides> {
    const sides = new Sides(bytes, await new Network(0).open());
    sides.server = await sides.serve(options);
    sides.network.target = sides.server.port;
    return sides;
  }

  private constructor({ ours, theirs }: { ours: number; theirs: number }, network: Network) {
    const wire: Wire = new Map();
    this.ours = new Store(randomBytes(ours));
    this.theirs = new Store(randomBytes(theirs));
    this.client = new FakeMachine(wire, { [OURS]: this.ours });
    this.remote = new FakeMachine(wire, { [THEIRS]: this.theirs });
    this.network = network;
  }

  /** Another server: whose it is to close it, and to lead the network there, is the caller's to say. */
  serve(rest: Partial<ServerOptions> = {}): Promise<Server> {
    return Server.listen({
      exports: ["scratch=02:00.0", "part=02:00.0@8k+16k"].map(parseExport),
      ...{ machine: this.remote, host: HOST, port: 0, allowWrite: true, timeoutMs: 20_000 },
      ...{ maxConnections: 4, maxIodepth: 16, maxBs: 1 << 20 },
      ...rest,
    });
  }

  copy(rest: Partial<RemoteCopyPlan> & { size: number }): Promise<RemoteCopyMeasurement> {
    return runRemoteCopy(this.client, {
      local: parseEndpoint(OURS),
      remote: { host: HOST, port: this.network.port, namespace: "scratch", offset: 0 },
      ...{ from: "local", bs: BS, iodepth: 8, verify: true },
      ...{ timeoutMs: 20_000, reconnectMs: 20_000 },
      ...rest,
    });
  }

  async close(): Promise<void> {
    this.network.close();
    await this.server.close();
    assert.deepEqual([this.client.open, this.remote.open], [0, 0], "all streams are closed");
    rmSync(this.directory, { recursive: true });
  }
}
