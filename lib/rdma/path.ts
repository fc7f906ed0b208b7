/** By which port and GID a device is reached, and reaches others. */
import { P2pError } from "../errors.js";
import type { NativeRdmaGid, NativeRdmaPort } from "../rdma-addon.js";
import { PortState } from "./spec.js";

/** What a queue pair's connection needs to know of its own side. */
export interface RdmaPath {
  readonly port: number;
  readonly gidIndex: number;
  /** 16 bytes. */
  readonly gid: Uint8Array;
  readonly lid: number;
  /** Of the port, bytes: the most that a connection can have. */
  readonly mtu: number;
  readonly linkLayer: "ethernet" | "infiniband";
}

export interface PathOptions {
  /** Without it: the first that is active. */
  readonly port?: number | undefined;
  /** Without it: the one that most others can reach. */
  readonly gidIndex?: number | undefined;
}

/** What is asked of a device. */
export interface Ports {
  readonly name: string;
  /** Number of ports: 1 to so many. */
  readonly count: number;
  /** Errors: NO_PORT. */
  port(number: number): NativeRdmaPort;
  gids(port: number): NativeRdmaGid[];
}

/** Errors: NO_PORT, PORT_DOWN, NO_GID. */
export function choosePath(ports: Ports, options: PathOptions = {}): RdmaPath {
  const port = choosePort(ports, options.port);
  const { lid, mtu, linkLayer } = ports.port(port);
  const { index, gid } = chooseGid(ports, port, options.gidIndex);
  return { port, gidIndex: index, gid, lid, mtu, linkLayer };
}

/** Whether a port can carry data. */
export function isActive(port: NativeRdmaPort): boolean {
  return port.state === PortState.ACTIVE;
}

function choosePort(ports: Ports, wanted: number | undefined): number {
  const { name, count } = ports;
  if (wanted === undefined) {
    for (let port = 1; port <= count; port++) if (isActive(ports.port(port))) return port;
    throw portDown(name, count === 1 ? `port 1 of ${name} is` : `all ports of ${name} are`);
  }
  if (wanted < 1 || wanted > count)
    throw new P2pError("NO_PORT", `${name} has no port ${wanted}`, {
      device: name,
      hint: count === 1 ? "it has port 1 alone" : `it has ports 1 to ${count}`,
    });
  if (!isActive(ports.port(wanted))) throw portDown(name, `port ${wanted} of ${name} is`);
  return wanted;
}

function chooseGid(ports: Ports, port: number, wanted: number | undefined): NativeRdmaGid {
  const gids = ports.gids(port);
  const noGid = (message: string, hint: string): P2pError =>
    new P2pError("NO_GID", message, { device: ports.name, hint });
  if (wanted === undefined) {
    const best = bestGid(gids);
    if (best !== null) return best;
    throw noGid(
      `port ${port} of ${ports.name} has no GID`,
      "give its network interface an address: ip addr add",
    );
  }
  const found = gids.find(({ index }) => index === wanted);
  if (found !== undefined) return found;
  const known = gids.map(({ index }) => index).join(", ");
  throw noGid(
    `port ${port} of ${ports.name} has no GID ${wanted}`,
    known === "" ? "it has none" : `it has ${known}`,
  );
}

function portDown(device: string, what: string): P2pError {
  return new P2pError("PORT_DOWN", `${what} not active`, {
    device,
    hint: "connect it, or set its network interface up: rdma link, ip link",
  });
}

/** In the order in which they are preferred; of equals the first in the table. */
function bestGid(gids: readonly NativeRdmaGid[]): NativeRdmaGid | null {
  let best: NativeRdmaGid | null = null;
  for (const gid of gids) if (best === null || rank(gid) < rank(best)) best = gid;
  return best;
}

/**
 * RoCE v2, which is routed, before v1, and an address that others have a way to before one of a link: that
 * of IPv4, then IPv6. On InfiniBand all are alike, and the first is the port's own.
 */
function rank({ type, gid }: NativeRdmaGid): number {
  if (type === "infiniband") return 0;
  const version = type === "rocev2" ? 0 : 3;
  return version + (isIpv4(gid) ? 0 : isLinkLocal(gid) ? 2 : 1);
}

/** RFC 4291 §2.5.5.2: ::ffff:a.b.c.d */
function isIpv4(gid: Uint8Array): boolean {
  return gid.subarray(0, 10).every((byte) => byte === 0) && gid[10] === 0xff && gid[11] === 0xff;
}

/** RFC 4291 §2.5.6: fe80::/10 */
function isLinkLocal(gid: Uint8Array): boolean {
  return gid[0] === 0xfe && (gid[1]! & 0xc0) === 0x80;
}
