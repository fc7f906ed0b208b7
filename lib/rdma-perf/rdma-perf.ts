import { P2pError } from "../errors.js";
import { Connection } from "../exchange/connection.js";
import { EVERY_ADDRESS, Listener } from "../exchange/listener.js";
import { isActive, type RdmaPath } from "../rdma/path.js";
import type { RdmaDevice } from "../rdma/device.js";
import type { Session } from "../session.js";
import type { MessageMemory } from "./memory.js";
import { inProcessPeers, type Peer } from "./peer.js";
import { checkPlan, nameOf, type RdmaPerfPlan, type SideRole } from "./plan.js";
import { runSide, type SideOptions, type SideResult, type SizeResult } from "./side.js";

/** Who is at the other end. */
export type Other =
  | { readonly kind: "in-process" }
  /** Waits for one client. `onListening` is told of the port. */
  | { readonly kind: "client"; readonly port: number; onListening?(port: number): void }
  | { readonly kind: "server"; readonly host: string; readonly port: number };

export interface RdmaPerfOptions {
  readonly plan: RdmaPerfPlan;
  readonly other: Other;
  readonly device: RdmaDevice;
  /** Without it the first that is active. */
  readonly port?: number | undefined;
  /** Without it the one that most others can reach. */
  readonly gidIndex?: number | undefined;
  readonly memory: MessageMemory;
  /** A port that is down may come up once the other side is there: as that of a wire to another process. */
  readonly awaitsLink?: boolean;
  /** How long a message, or the other side's answer, may take, seconds. Default: 30. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  /** Both sides know each other, and agree on this MTU, bytes. */
  onConnected?(mtu: number): void;
  /** Of this side, or of both in one process the client. */
  onResult?(result: SizeResult): void;
}

export interface RdmaPerfResult {
  /** In process that of the client. */
  readonly path: RdmaPath;
  /** Of the connections, bytes: the least of what both ports have and both plans say. */
  readonly mtu: number;
  readonly results: readonly SizeResult[];
  /** Of the server in the same process; null where it is elsewhere. */
  readonly serverResults: readonly SizeResult[] | null;
}

const DEFAULT_TIMEOUT_S = 30;

/** How often to look whether a port is up, milliseconds. */
const LINK_POLL_MS = 10;

/**
 * Measures as perftest does: this side of a test, or both. Errors: BAD_ARGUMENT; those of choosePath()
 * and runSide(); NO_ROUTE, LISTEN, PEER_VERSION, PEER_ROLE; CLOSED.
 */
export function runRdmaPerf(session: Session, options: RdmaPerfOptions): Promise<RdmaPerfResult> {
  const { plan, other, memory } = options;
  checkPlan(plan);
  if (nameOf(plan) === "write lat" && memory.kind !== "host" && memory.kind !== "odp")
    throw new P2pError(
      "BAD_ARGUMENT",
      "for the latency of writes the CPU looks at the memory, which must be the host's",
      { hint: "measure read lat or send lat, or --mr host" },
    );
  return session.operation(options.signal, (signal) => {
    const run = new Run(session, options, signal);
    if (other.kind === "in-process") return run.inProcess();
    return other.kind === "client" ? run.server(other) : run.client(other);
  });
}

class Run {
  readonly #session: Session;
  readonly #options: RdmaPerfOptions;
  readonly #signal: AbortSignal;
  readonly #timeoutMs: number;

  constructor(session: Session, options: RdmaPerfOptions, signal: AbortSignal) {
    this.#session = session;
    this.#options = options;
    this.#signal = signal;
    this.#timeoutMs = 1000 * (options.timeout ?? DEFAULT_TIMEOUT_S);
  }

  async inProcess(): Promise<RdmaPerfResult> {
    const path = await this.#choosePath();
    // Before a side is there that would wait for the other.
    const otherEnd = this.#otherEnd(path);
    const [client, server] = inProcessPeers();
    // The first failure is the cause of the other's.
    const failures: unknown[] = [];
    const watch = async (
      role: SideRole,
      path: RdmaPath,
      peer: Peer,
    ): Promise<SideResult | null> => {
      try {
        return await this.#side(role, path, peer);
      } catch (error) {
        failures.push(error);
        return null;
      } finally {
        // One that found no thread to run in has told the other nothing.
        peer.close();
      }
    };
    const [own, other] = await Promise.all([
      watch("client", path, client),
      watch("server", otherEnd, server),
    ]);
    if (own === null || other === null) throw failures[0];
    return { path, ...own, serverResults: other.results };
  }

  async client({ host, port }: { host: string; port: number }): Promise<RdmaPerfResult> {
    const path = await this.#choosePath();
    const connection = await Connection.connect(host, port, this.#exchange);
    try {
      const own = await this.#side("client", path, connection);
      return { path, ...own, serverResults: null };
    } finally {
      connection.close();
    }
  }

  async server(client: Extract<Other, { kind: "client" }>): Promise<RdmaPerfResult> {
    // It may be the client that brings the link up; else nobody need wait to hear that it is down.
    if (this.#options.awaitsLink !== true) await this.#choosePath();
    let resolve!: (result: RdmaPerfResult) => void;
    let reject!: (error: unknown) => void;
    const served = new Promise<RdmaPerfResult>((...settle) => {
      [resolve, reject] = settle;
    });
    // A client may fail where nobody awaits it any more.
    served.catch(() => undefined);
    const { port } = client;
    const listener = await Listener.listen(
      { host: EVERY_ADDRESS, port, maxConnections: 1, ...this.#exchange },
      async (connection) => {
        const serving = this.#serve(connection);
        serving.then(resolve, reject);
        await serving;
      },
    );
    try {
      // Nobody is told of what came before.
      this.#signal.throwIfAborted();
      this.#signal.addEventListener("abort", () => {
        reject(this.#signal.reason);
      });
      client.onListening?.(listener.port);
      return await served;
    } finally {
      await listener.close();
    }
  }

  async #serve(connection: Connection): Promise<RdmaPerfResult> {
    const path = await this.#choosePath();
    const own = await this.#side("server", path, connection);
    return { path, ...own, serverResults: null };
  }

  /** Errors: NO_PORT, PORT_DOWN, NO_GID. */
  async #choosePath(): Promise<RdmaPath> {
    const { device, port, gidIndex, awaitsLink = false } = this.#options;
    const end = performance.now() + this.#timeoutMs;
    for (;;)
      try {
        return device.choosePath({ port, gidIndex });
      } catch (error) {
        const isDown = error instanceof P2pError && error.code === "PORT_DOWN";
        if (!awaitsLink || !isDown || performance.now() > end) throw error;
        this.#signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, LINK_POLL_MS));
      }
  }

  #side(role: SideRole, path: RdmaPath, peer: Peer): Promise<SideResult> {
    const { plan, device, memory } = this.#options;
    const isLoopback = this.#session.platform.kind === "loopback";
    const timeoutMs = this.#timeoutMs;
    const side: SideOptions = { plan, role, device, isLoopback, path, memory, timeoutMs };
    const isShown = role === "client" || this.#options.other.kind === "client";
    return this.#session.withReactor((reactor) =>
      runSide(side, peer, reactor, this.#signal, isShown ? this.#options : {}),
    );
  }

  /** In one process: the device's other port where it has one with a link, as on the loopback machine. */
  #otherEnd(path: RdmaPath): RdmaPath {
    const { device, port } = this.#options;
    if (port !== undefined || this.#session.platform.kind !== "loopback") return path;
    for (let other = path.port + 1; other <= device.attributes.ports; other++)
      if (isActive(device.port(other))) return device.choosePath({ port: other });
    return path;
  }

  get #exchange() {
    return { role: "rdma" as const, timeoutMs: this.#timeoutMs, signal: this.#signal };
  }
}
