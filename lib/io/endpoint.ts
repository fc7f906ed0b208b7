import { P2pError } from "../errors.js";
import { type Bdf, parseBdf } from "../pci/bdf.js";
import { parseSize, shortSize } from "../units.js";

/** Part of a namespace, as named on the command line: `BDF[/NSID][@OFFSET[+LENGTH]]`. */
export interface Endpoint {
  device: Bdf;
  nsid: number;
  /** Bytes from the start of the namespace. */
  offset: number;
  /** Bytes; undefined reaches to the namespace's end. */
  length?: number;
}

/** Namespace 1 and offset 0 where the text names none. Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^([^/@]+)(?:\/(\d+))?(?:@([^+]+)(?:\+(.+))?)?$/.exec(text.trim());
  const nsid = Number(match?.[2] ?? 1);
  // NVMe 1.4 §6.1.2: 0 and FFFFFFFFh do not name a namespace.
  if (match === null || nsid === 0 || nsid >= 0xffffffff)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is not an endpoint`, {
      hint: "write BDF[/NSID][@OFFSET[+LENGTH]], such as 0000:03:00.0/1@1m+64m",
    });
  return {
    device: parseBdf(match[1]!),
    nsid,
    offset: parseSize(match[3] ?? "0"),
    ...(match[4] === undefined ? {} : { length: parseSize(match[4]) }),
  };
}

/** Part of what another machine serves: `rdma://HOST[:PORT]/NAMESPACE[@OFFSET[+LENGTH]]`. */
export interface RemoteEndpoint {
  /** A name or an address, without brackets. */
  host: string;
  port: number;
  /** The name that it is served by, or `BDF/NSID`. */
  namespace: string;
  /** Bytes from the start of what is served. */
  offset: number;
  /** Bytes; undefined reaches to its end. */
  length?: number;
}

export type AnyEndpoint = Endpoint | RemoteEndpoint;

/** Of `p2pmem serve`. */
export const SERVE_PORT = 18516;

/** What something may be served as: nothing that could be a PCI address. */
const NAME = /^[A-Za-z][\w.-]{0,63}$/;
const REMOTE =
  /^rdma:\/\/(?:\[([^\]]+)\]|([^:/@[\]]+))(?::(\d{1,5}))?\/([^@]+)(?:@([^+]+)(?:\+(.+))?)?$/;
const REMOTE_FORM = "rdma://HOST[:PORT]/NAMESPACE[@OFFSET[+LENGTH]]";

/** Of this machine, or of another one. Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseAnyEndpoint(text: string): AnyEndpoint {
  return /^\s*[a-z]+:\/\//i.test(text) ? parseRemoteEndpoint(text.trim()) : parseEndpoint(text);
}

function parseRemoteEndpoint(text: string): RemoteEndpoint {
  const match = REMOTE.exec(text);
  const port = Number(match?.[3] ?? SERVE_PORT);
  if (match === null || port === 0 || port > 0xffff)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is not an endpoint`, {
      hint: `write ${REMOTE_FORM}, such as rdma://server/scratch@1m+64m`,
    });
  return {
    host: match[1] ?? match[2]!,
    port,
    namespace: parseServedName(match[4]!),
    offset: parseSize(match[5] ?? "0"),
    ...(match[6] === undefined ? {} : { length: parseSize(match[6]) }),
  };
}

/** A name, or `BDF[/NSID]`, which becomes `BDF/NSID`. Errors: BAD_ENDPOINT. */
export function parseServedName(text: string): string {
  return NAME.test(text) ? text : formatEndpoint(parseEndpoint(text));
}

export function isRemote(endpoint: AnyEndpoint): endpoint is RemoteEndpoint {
  return "host" in endpoint;
}

export function formatAnyEndpoint(endpoint: AnyEndpoint): string {
  if (!isRemote(endpoint)) return formatEndpoint(endpoint);
  const { host, port, namespace } = endpoint;
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return `rdma://${address}/${namespace}${formatPart(endpoint)}`;
}

export function formatEndpoint(endpoint: Endpoint): string {
  return `${endpoint.device}/${endpoint.nsid}${formatPart(endpoint)}`;
}

function formatPart({ offset, length }: Pick<Endpoint, "offset" | "length">): string {
  const range = length === undefined ? "" : `+${shortSize(length)}`;
  return offset === 0 && range === "" ? "" : `@${shortSize(offset)}${range}`;
}
