import { P2pError } from "../errors.js";
import type { Connection } from "../exchange/connection.js";
import { Listener } from "../exchange/listener.js";
import type { Endpoint } from "../io/endpoint.js";
import { formatSize } from "../units.js";
import { tryAllInTurn } from "../try-all.js";
import { exportsByName, type Export } from "./exports.js";
import { Leases, type Lease } from "./leases.js";
import type { CopyEnd, Machine, OpenRange } from "./machine.js";
import * as protocol from "./protocol.js";
import { Seats } from "./seats.js";
import { transfer, type TransferPlan, type TransferReports } from "./transfer.js";

/** What clients may ask for. Sizes in bytes. */
interface ServerLimits {
  maxConnections: number;
  maxIodepth: number;
  maxBs: number;
}

export interface ServerOptions extends ServerLimits {
  exports: readonly Export[];
  machine: Machine;
  host: string;
  port: number;
  key?: Uint8Array;
  allowWrite: boolean;
  /** How long a client may be silent: milliseconds. */
  timeoutMs: number;
  signal?: AbortSignal;
  onEvent?(event: ServerEvent): void;
}

/** Of one connection of a client's copy. */
export interface ServerEvent {
  event: "begun" | "done" | "failed";
  client: string;
  /** What it is about, once that is known. */
  access: "read" | "write" | null;
  namespace: string | null;
  bytes: number | null;
  /** Of this connection; null until it is done. */
  staging: string | null;
  error: { code: string; message: string } | null;
}

/** Beside those of copies, and the new ones of the same copies: of clients that are about to be refused. */
const SPARE_CONNECTIONS = 8;

/** Serves namespaces of this machine to `p2pmem copy` on others. */
export class Server {
  readonly #options: ServerOptions;
  readonly #exports: ReadonlyMap<string, Export>;
  readonly #leases = new Leases();
  readonly #seats: Seats;
  #listener!: Listener;

  /** Errors: BAD_ARGUMENT, LISTEN; those of Machine.range(), of what cannot be served. */
  static async listen(options: ServerOptions): Promise<Server> {
    const server = new Server(options);
    for (const { endpoint } of options.exports) await options.machine.range(endpoint);
    const { host, port, maxConnections, timeoutMs, key, signal } = options;
    server.#listener = await Listener.listen(
      {
        ...{ role: "copy", host, port, timeoutMs },
        maxConnections: 2 * maxConnections + SPARE_CONNECTIONS,
        ...(key === undefined ? {} : { key }),
        ...(signal === undefined ? {} : { signal }),
      },
      (connection) => server.#serve(connection),
    );
    return server;
  }

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.#exports = exportsByName(options.exports);
    this.#seats = new Seats(options.maxConnections);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Ends what runs, and returns when none of it is in flight any more. Idempotent. */
  close(): Promise<void> {
    return this.#listener.close();
  }

  async #serve(connection: Connection): Promise<void> {
    const event: ServerEvent = {
      ...{ event: "failed", client: connection.remoteAddress, access: null, namespace: null },
      ...{ bytes: null, staging: null, error: null },
    };
    try {
      const { own } = await this.#copy(connection, event);
      this.#tell({ ...event, event: "done", bytes: own.bytes });
    } catch (error) {
      const { code, message } =
        error instanceof P2pError ? error : { code: "INTERNAL", message: String(error) };
      this.#tell({ ...event, error: { code, message } });
      throw error;
    }
  }

  async #copy(connection: Connection, event: ServerEvent): Promise<TransferReports> {
    const wanted = await connection.receive(protocol.open);
    event.access = wanted.access;
    const leave = await this.#seats.take(wanted.copy, () => {
      connection.fail(new P2pError("PEER_GONE", "the same copy has connected again"));
    });
    try {
      return await this.#serveCopy(connection, wanted, event);
    } finally {
      leave();
    }
  }

  async #serveCopy(
    connection: Connection,
    wanted: protocol.Open,
    event: ServerEvent,
  ): Promise<TransferReports> {
    const { machine, maxBs, maxIodepth } = this.#options;
    const endpoint = this.#find(wanted);
    const range = await machine.range(endpoint);
    const { place, bytes, identity, volume } = range;
    event.namespace = place.name;
    connection.send({ type: "opened", place, bytes, identity, maxBs, maxIodepth });
    const plan = await connection.receive(protocol.plan, protocol.OPEN_MS);
    this.#check(plan, range);
    event.bytes = plan.size;
    const { offset: start, name } = place;
    const isWriter = wanted.access === "write";
    const lease = this.#leases.acquire({
      ...{ volume, name, start, end: start + plan.size, isWriter },
    });
    const role = isWriter ? "destination" : "source";
    const { size, bs, iodepth, first } = plan;
    let end: CopyEnd;
    try {
      end = await machine.openEnd({ role, endpoint, size, bs, iodepth, first });
    } catch (error) {
      lease.release();
      throw error;
    }
    event.staging = end.stream.staging.memory;
    const places = isWriter
      ? { source: plan.place, destination: place }
      : { source: place, destination: plan.place };
    try {
      return await this.#stream(
        connection,
        end,
        { ...plan, role, places, commandMs: end.commandMs },
        event,
      );
    } finally {
      await close(end, lease);
    }
  }

  async #stream(
    connection: Connection,
    { stream, volume }: CopyEnd,
    plan: TransferPlan,
    event: ServerEvent,
  ): Promise<TransferReports> {
    connection.send({ type: "offer", offer: stream.offer, staging: stream.staging });
    const { offer } = await connection.receive(protocol.offer, protocol.OPEN_MS);
    stream.connect(offer);
    connection.send({ type: "ready" });
    this.#tell({ ...event, event: "begun" });
    return transfer(connection, stream, volume, plan);
  }

  /** The part of an export that the client names. Errors: NO_EXPORT, WRITE_NOT_ALLOWED, BAD_RANGE. */
  #find({ namespace, offset, length, access }: protocol.Open): Endpoint {
    const served = this.#exports.get(namespace);
    if (served === undefined)
      throw new P2pError("NO_EXPORT", `"${namespace}" is not served here`, {
        hint: `there are ${[...this.#exports.keys()].join(", ")}`,
      });
    if (access === "write" && !this.#options.allowWrite)
      throw new P2pError("WRITE_NOT_ALLOWED", `${namespace} is served for reading only`, {
        hint: "p2pmem serve --allow-write lets clients write",
      });
    const { endpoint } = served;
    const room = endpoint.length === undefined ? Infinity : endpoint.length - offset;
    const { device, nsid } = endpoint;
    const part = length ?? (room === Infinity ? undefined : room);
    if (room <= 0 || (part !== undefined && (part > room || part === 0)))
      throw new P2pError("BAD_RANGE", `${namespace} has ${String(endpoint.length)} bytes`, {
        hint: "give a smaller offset or length",
      });
    return {
      ...{ device, nsid },
      offset: endpoint.offset + offset,
      ...(part === undefined ? {} : { length: part }),
    };
  }

  /** Errors: BAD_SIZE, BAD_ARGUMENT, BAD_RANGE: what the client has been told before. */
  #check({ size, bs, iodepth, first }: protocol.Plan, { bytes, place }: OpenRange): void {
    const { maxBs, maxIodepth } = this.#options;
    if (bs > maxBs)
      throw new P2pError(
        "BAD_SIZE",
        `blocks of ${formatSize(bs)}, but ${formatSize(maxBs)} at most`,
      );
    if (iodepth > maxIodepth)
      throw new P2pError("BAD_ARGUMENT", `${iodepth} blocks in flight, but ${maxIodepth} at most`);
    if (size > bytes)
      throw new P2pError("BAD_RANGE", `${size} bytes of ${place.name}, but it has ${bytes} there`);
    if (first > Math.ceil(size / bs))
      throw new P2pError("BAD_RANGE", `block ${first} is past the range's end`);
  }

  #tell(event: ServerEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** The volume's memory and the stream's go when no device reaches them any more, and then the range. */
async function close({ stream, volume }: CopyEnd, lease: Lease): Promise<void> {
  await tryAllInTurn([
    async () => {
      try {
        await stream.close();
      } catch (error) {
        lease.abandon();
        throw error;
      }
      lease.release();
    },
    () => {
      volume.close();
    },
  ]);
}
