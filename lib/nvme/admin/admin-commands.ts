import type { AddressSpace } from "../../dma/address-space.js";
import type { AdminCommand, AdminQueue } from "../queues/admin-queue.js";
import { AdminOpcode, Cns, Feature, IDENTIFY_BYTES } from "../spec.js";
import {
  decodeController,
  decodeNamespace,
  decodeNamespaceList,
  type ControllerIdentity,
  type NamespaceIdentity,
} from "./identify.js";

/** The admin commands of one controller that ask for data or settings. Errors: as AdminQueue.execute(). */
export class AdminCommands {
  readonly #queue: AdminQueue;
  readonly #space: AddressSpace;

  constructor(queue: AdminQueue, space: AddressSpace) {
    this.#queue = queue;
    this.#space = space;
  }

  /** Any admin command; dword 0 of its completion. */
  execute(command: AdminCommand): Promise<number> {
    return this.#queue.execute(command);
  }

  /** `minPageSize`: CAP.MPSMIN, bytes. */
  async identifyController(minPageSize: number): Promise<ControllerIdentity> {
    return decodeController(await this.identify(Cns.CONTROLLER), minPageSize);
  }

  async identifyNamespace(nsid: number): Promise<NamespaceIdentity> {
    return decodeNamespace(await this.identify(Cns.NAMESPACE, nsid));
  }

  /** Ids of the active namespaces, ascending: the first 1024. */
  async activeNamespaces(): Promise<number[]> {
    return decodeNamespaceList(await this.identify(Cns.ACTIVE_NAMESPACES));
  }

  /** The data structure `cns` as it is, 4096 bytes. */
  async identify(cns: number, nsid = 0): Promise<DataView> {
    const buffer = this.#space.allocate(IDENTIFY_BYTES);
    try {
      await this.execute({
        opcode: AdminOpcode.IDENTIFY,
        nsid,
        prp1: buffer.iova,
        cdw10: cns,
      });
      return new DataView(buffer.buffer.slice(0, IDENTIFY_BYTES));
    } finally {
      buffer.close();
    }
  }

  /** I/O queue pairs that the controller allows, of `wanted`. */
  async setNumberOfQueues(wanted: number): Promise<number> {
    // §5.21.1.7: asked for and granted are 0's based, SQs in the low half, CQs in the high one.
    const granted = await this.execute({
      opcode: AdminOpcode.SET_FEATURES,
      cdw10: Feature.NUMBER_OF_QUEUES,
      cdw11: ((wanted - 1) << 16) | (wanted - 1),
    });
    return Math.min((granted & 0xffff) + 1, (granted >>> 16) + 1);
  }
}
