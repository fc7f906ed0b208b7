import { formatEndpoint, type Endpoint } from "../io/endpoint.js";
import { findNamespace } from "../io/namespaces.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { StreamEnd } from "../stream/end.js";
import type { Staging } from "../stream/plan.js";
import { formatSize } from "../units.js";
import { identityOf, namesOf, volumeOf } from "./identity.js";
import type { Place } from "./protocol.js";
import { NamespaceVolume, type Volume } from "./volume.js";

/** A range of a namespace that is there. */
export interface OpenRange {
  place: Place;
  /** From its offset on, as far as the endpoint goes. */
  bytes: number;
  /** Whose namespace it is, whatever address it has; for people, too. */
  identity: string;
  /** The same for all paths that this machine has to the namespace. */
  volume: string;
}

/** How one end of a copy streams. */
export interface EndRequest {
  role: "source" | "destination";
  endpoint: Endpoint;
  size: number;
  bs: number;
  iodepth: number;
  /** Blocks before it are confirmed. */
  first: number;
}

export interface CopyEnd {
  stream: Pick<
    StreamEnd,
    "staging" | "offer" | "connect" | "run" | "written" | "assertIntact" | "close"
  >;
  volume: Volume;
  /** How long a command of its NVMe controller may take: milliseconds. */
  commandMs: number;
}

/** What either side of a copy needs of the machine that it runs on. */
export interface Machine {
  /** Errors: UNKNOWN_DEVICE, NOT_NVME, NO_NAMESPACE, BAD_RANGE; those of opening the device and Identify. */
  range(endpoint: Endpoint): Promise<OpenRange>;
  /** Errors: those of StreamEnd.open(). */
  openEnd(request: EndRequest): Promise<CopyEnd>;
}

/** Which NIC, and by which of its ports and addresses; without it the first that can carry data. */
export interface NicOptions {
  device?: string;
  port?: number;
  gidIndex?: number;
}

interface MachineOptions {
  nic: NicOptions;
  staging: Staging;
  provider?: Provider;
  allowWrite: boolean;
}

export class SessionMachine implements Machine {
  readonly #session: Session;
  readonly #options: MachineOptions;

  constructor(session: Session, options: MachineOptions) {
    this.#session = session;
    this.#options = options;
  }

  async range(endpoint: Endpoint): Promise<OpenRange> {
    const namespace = await findNamespace(this.#session, endpoint);
    const { offset, length = Math.max(0, namespace.size - offset) } = endpoint;
    const name = formatEndpoint({ ...endpoint, offset: 0 });
    if (length === 0 || offset + length > namespace.size)
      throw new P2pError(
        "BAD_RANGE",
        `${formatEndpoint(endpoint)} reaches past the end of ${endpoint.device}/${endpoint.nsid}, which has ${namespace.size} bytes (${formatSize(namespace.size)})`,
        { device: endpoint.device, hint: "give a smaller offset or length" },
      );
    const names = await namesOf(namespace);
    return {
      place: { name: name.replace(/@.*/, ""), offset, blockSize: namespace.blockSize },
      bytes: length,
      identity: identityOf(namespace, names),
      volume: volumeOf(namespace, names),
    };
  }

  async openEnd({ endpoint, size, bs, ...rest }: EndRequest): Promise<CopyEnd> {
    const session = this.#session;
    const { nic, staging, provider, allowWrite } = this.#options;
    const namespace = await findNamespace(session, endpoint);
    const stream = await StreamEnd.open(session, {
      ...{ ...rest, endpoint, staging, provider, size, bs, allowWrite, exactlyOnce: true },
      ...{ rdma: session.rdmaDevice(nic.device), port: nic.port, gidIndex: nic.gidIndex },
    });
    const volume = new NamespaceVolume(session, namespace, { offset: endpoint.offset, size, bs });
    return { stream, volume, commandMs: namespace.controller.timeout };
  }
}
