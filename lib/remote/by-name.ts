/** Serving and copying between machines, in the words of the command line. */
import { P2pError } from "../errors.js";
import { isRemote, parseAnyEndpoint, SERVE_PORT } from "../io/endpoint.js";
import type { Endpoint, RemoteEndpoint } from "../io/endpoint.js";
import type { Session } from "../session.js";
import type { Staging } from "../stream/plan.js";
import { bytesOf } from "../units.js";
import { runRemoteCopy, type RemoteCopyPlan } from "./copy.js";
import { parseExport } from "./exports.js";
import { assertGuarded } from "./guard.js";
import { SessionMachine, type NicOptions } from "./machine.js";
import { remoteCopyResult, type RemoteCopyResult } from "./result.js";
import { Server, type ServerEvent } from "./server.js";

/** What both sides say of themselves. */
interface SideOptions {
  /** Where blocks rest between NVMe device and NIC; `auto` by default, `p2pmem` with a provider. */
  staging?: Staging;
  /** `BDF[/cmb|/pmr|/dm|/barN[@OFFSET[+LENGTH]]]`: the peer memory to stage in. */
  provider?: string;
  /** By default the first that has a link. */
  nic?: NicOptions;
  /** A secret that both sides have: 16 bytes or more. */
  key?: Uint8Array;
  /**
   * Seconds: a side that says nothing for so long is gone; 10 by default, 3 at least. One that is there
   * while nothing moves is when that has lasted 10 s longer than the session's `timeout`.
   */
  peerTimeout?: number;
  /** Needed to let anything be written; not for the loopback machine's end of a copy of one's own. */
  allowWrite?: boolean;
  signal?: AbortSignal;
}

export interface ServeOptions extends SideOptions {
  /** `[NAME=]BDF[/NSID][@OFFSET[+LENGTH]]` */
  exports: readonly string[];
  /** The address to listen at: 127.0.0.1 by default. Another one needs a key, or `insecure`. */
  host?: string;
  /** 18516 by default; 0: any that is free, see {@link Server.port}. */
  port?: number;
  insecure?: boolean;
  /** Copies at a time; 4 by default. Of each: blocks in flight (128), bytes in a block (`1m`). */
  maxConnections?: number;
  maxIodepth?: number;
  maxBs?: string | number;
  onEvent?: (event: ServerEvent) => void;
}

/**
 * Lets {@link remoteCopy} and `p2pmem copy` on other machines read ranges of namespaces, and with
 * `allowWrite` write them, until it is closed: before the session is. Errors: BAD_ENDPOINT, BAD_SIZE,
 * BAD_ARGUMENT; those of Session.provider(), Session.rdmaDevice() and Server.listen().
 */
export async function serve(session: Session, options: ServeOptions): Promise<Server> {
  const { host = "127.0.0.1", port = SERVE_PORT, key, insecure = false } = options;
  const { allowWrite = false, signal, onEvent } = options;
  assertGuarded(host, key !== undefined, insecure);
  const exports = options.exports.map(parseExport);
  const machine = await machineOf(session, options);
  return Server.listen({
    ...{ exports, machine, host, port, allowWrite, timeoutMs: timeoutMsOf(options) },
    maxConnections: options.maxConnections ?? 4,
    maxIodepth: options.maxIodepth ?? 128,
    maxBs: bytesOf(options.maxBs ?? "1m"),
    ...(key === undefined ? {} : { key }),
    ...(signal === undefined ? {} : { signal }),
    ...(onEvent === undefined ? {} : { onEvent }),
  });
}

export interface RemoteCopyOptions extends SideOptions {
  /** One of both is `rdma://HOST[:PORT]/NAMESPACE[@OFFSET[+LENGTH]]`, the other `BDF[/NSID][@…]`. */
  src: string;
  dst: string;
  /** Bytes to copy; by default the endpoint's length, or all of the source. */
  size?: string | number;
  /** Bytes in a block; `128k` by default. */
  bs?: string | number;
  /** Blocks in flight; 32 by default. */
  iodepth?: number;
  /** Compare both ends by CRC-32C, which it does by default, before blocks count as confirmed. */
  verify?: boolean;
  /** Seconds to try to go on after a connection broke; 30 by default, 0: not at all. */
  reconnect?: number;
  /** A journal: a copy that was killed goes on. */
  resume?: string;
  onProgress?: (bytes: number, total: number) => void;
  /** One line for a person, of what is no result. */
  onNote?: (note: string) => void;
}

/**
 * Copies from or to a machine that serves (`p2pmem serve`, {@link serve}), and says what it took. Errors:
 * BAD_ENDPOINT, BAD_SIZE, BAD_ARGUMENT; those of Session.provider(), Session.rdmaDevice() and
 * runRemoteCopy(): DATA_MISMATCH where a block arrived wrong.
 */
export async function remoteCopy(
  session: Session,
  options: RemoteCopyOptions,
): Promise<RemoteCopyResult> {
  const { size, key, resume, signal, onProgress, onNote } = options;
  const plan: RemoteCopyPlan = {
    ...endpointsOf(options),
    ...{ bs: bytesOf(options.bs ?? "128k"), iodepth: options.iodepth ?? 32 },
    ...{ verify: options.verify ?? true, timeoutMs: timeoutMsOf(options) },
    reconnectMs: 1000 * (options.reconnect ?? 30),
    ...(size === undefined ? {} : { size: bytesOf(size) }),
    ...(key === undefined ? {} : { key }),
    ...(resume === undefined ? {} : { resume }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(onNote === undefined ? {} : { onNote }),
  };
  const machine = await machineOf(session, options);
  return remoteCopyResult(plan, await runRemoteCopy(machine, plan));
}

function endpointsOf({
  src,
  dst,
}: RemoteCopyOptions): Pick<RemoteCopyPlan, "local" | "remote" | "from"> {
  const [source, destination] = [parseAnyEndpoint(src), parseAnyEndpoint(dst)];
  if (isRemote(source) === isRemote(destination))
    throw new P2pError("BAD_ARGUMENT", "one end of a copy between machines is of another one", {
      hint: "and one of this: rdma://HOST[:PORT]/NAMESPACE and BDF[/NSID]; copy() copies within one",
    });
  return isRemote(source)
    ? { local: destination as Endpoint, remote: source, from: "remote" }
    : { local: source, remote: destination as RemoteEndpoint, from: "local" };
}

function timeoutMsOf({ peerTimeout = 10 }: SideOptions): number {
  // The other side says each second that it is there.
  if (peerTimeout >= 3 && peerTimeout <= 3600) return 1000 * peerTimeout;
  throw new P2pError("BAD_ARGUMENT", `peerTimeout is 3 to 3600 seconds, not ${peerTimeout}`);
}

/** Errors: those of Session.provider() and Session.rdmaDevice(). */
async function machineOf(session: Session, options: SideOptions): Promise<SessionMachine> {
  const { provider, nic = {}, allowWrite = false } = options;
  // That there is none is to be known now, not by the first client.
  session.rdmaDevice(nic.device);
  return new SessionMachine(session, {
    ...{
      nic,
      allowWrite,
      staging: options.staging ?? (provider === undefined ? "auto" : "p2pmem"),
    },
    ...(provider === undefined ? {} : { provider: await session.provider(provider) }),
  });
}
