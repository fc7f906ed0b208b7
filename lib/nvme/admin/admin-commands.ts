import type { AddressSpace } from "../../dma/address-space.js";
import type { P2pError } from "../../errors.js";
import { controllerError } from "../lifecycle.js";
import type { AdminQueue } from "../queues/admin-queue.js";
import type { CopyFormat } from "../commands/copy.js";
import {
  AdminOpcode,
  BROADCAST_NSID,
  Cns,
  EXHID,
  Feature,
  FEATURE_SAVE,
  HostBehavior,
  IDENTIFY_BYTES,
  LogPage,
  ONCS,
  SELECT,
} from "../spec.js";
import { transfer } from "./data-transfer.js";
import { decodeCapabilities, decodeFeature, FEATURE_DATA_BYTES, isSettable } from "./features.js";
import type { FeatureCapabilities, FeatureSelect, FeatureValue } from "./features.js";
import { decodeFields } from "./fields.js";
import {
  decodeController,
  decodeDescriptors,
  decodeNamespace,
  decodeNamespaceList,
} from "./identify.js";
import type { ControllerIdentity, NamespaceDescriptors, NamespaceIdentity } from "./identify.js";
import * as logs from "./log-pages.js";
import { logLimits, readLog, type LogPageOptions } from "./read-log.js";
import { NVM_LIMIT_FIELDS, type NvmLimitFields } from "./nvm-limits.js";

/** Ids in a page of a namespace list. */
const LIST_IDS = IDENTIFY_BYTES / 4;
/** CDW11.CSI of the NVM command set, for Identify. */
const NVM_COMMAND_SET = 0;

/**
 * The admin commands of one controller that ask for data or settings: what neither destroys anything
 * nor breaks the driver. There is no way to others, such as Format NVM, from here.
 * Errors: as AdminQueue.execute(), and those of AddressSpace.allocate().
 */
export class AdminCommands {
  readonly #queue: AdminQueue;
  readonly #space: AddressSpace;
  /** What Identify Controller said last. */
  #identity: ControllerIdentity | null = null;

  constructor(queue: AdminQueue, space: AddressSpace) {
    this.#queue = queue;
    this.#space = space;
  }

  /** `minPageSize`: CAP.MPSMIN, bytes. */
  async identifyController(minPageSize: number): Promise<ControllerIdentity> {
    this.#identity = decodeController(await this.identify(Cns.CONTROLLER), minPageSize);
    return this.#identity;
  }

  async identifyNamespace(nsid: number): Promise<NamespaceIdentity> {
    return decodeNamespace(await this.identify(Cns.NAMESPACE, nsid));
  }

  /** Ids of the active namespaces, ascending: all of them. */
  activeNamespaces(): Promise<number[]> {
    return this.#namespaceList(Cns.ACTIVE_NAMESPACES);
  }

  /** Ids of all namespaces of the subsystem; of controllers with namespace management alone. */
  allocatedNamespaces(): Promise<number[]> {
    return this.#namespaceList(Cns.ALLOCATED_NAMESPACES);
  }

  /** What names a namespace for good; since NVMe 1.3. */
  async namespaceDescriptors(nsid: number): Promise<NamespaceDescriptors> {
    return decodeDescriptors(await this.identify(Cns.NAMESPACE_DESCRIPTORS, nsid));
  }

  /** Limits of NVM commands; of controllers that know I/O command sets alone (NVMe 2.0). */
  async nvmLimits(): Promise<NvmLimitFields> {
    const data = await this.identify(Cns.IO_COMMAND_SET_CONTROLLER, 0, NVM_COMMAND_SET);
    return decodeFields(NVM_LIMIT_FIELDS, data);
  }

  /** The data structure `cns` as it is, 4096 bytes; `csi`: the I/O command set. */
  async identify(cns: number, nsid = 0, csi = NVM_COMMAND_SET): Promise<DataView> {
    const opcode = AdminOpcode.IDENTIFY;
    const command = { opcode, nsid, cdw10: cns, cdw11: csi << 24 };
    return (await transfer(this.#queue, this.#space, command, IDENTIFY_BYTES)).data;
  }

  /**
   * `bytes` of a log page, a multiple of 4; what is more than one command may move, in several.
   * Errors: BAD_RANGE; UNSUPPORTED where the controller has no offsets into logs (LPA bit 2) and one
   * is needed.
   */
  async logPage(id: number, bytes: number, options: LogPageOptions = {}): Promise<DataView> {
    return readLog(this.#queue, this.#space, this.#known(), { ...options, id, bytes });
  }

  /**
   * Errors that the controller remembers, the latest first: all, or as many as one command may move
   * where it has no offsets into logs.
   */
  async errorLog(): Promise<logs.ErrorLogEntry[]> {
    const { isExtended, most } = logLimits(this.#known());
    const bytes = (this.#known().fields.elpe + 1) * logs.LOG_BYTES.ERROR_ENTRY;
    return logs.decodeErrorLog(
      await this.logPage(LogPage.ERROR, isExtended ? bytes : Math.min(bytes, most)),
    );
  }

  /** Health of the controller, or of a namespace where it tells them apart (LPA bit 0). */
  async smart(nsid?: number): Promise<logs.SmartLog> {
    const options = nsid === undefined ? {} : { nsid };
    return logs.decodeSmart(await this.logPage(LogPage.SMART, logs.LOG_BYTES.SMART, options));
  }

  async firmwareSlots(): Promise<logs.FirmwareSlots> {
    return logs.decodeFirmwareSlots(
      await this.logPage(LogPage.FIRMWARE_SLOT, logs.LOG_BYTES.FIRMWARE_SLOT),
    );
  }

  /** Ids of namespaces that changed since this was last read; null: more than 1024 did. */
  async changedNamespaces(): Promise<number[] | null> {
    const { CHANGED_NAMESPACES: bytes } = logs.LOG_BYTES;
    const ids = decodeNamespaceList(await this.logPage(LogPage.CHANGED_NAMESPACES, bytes));
    return ids[0] === BROADCAST_NSID ? null : ids;
  }

  /** The commands that the controller has, and what they may do; optional (LPA bit 1). */
  async commandEffects(): Promise<logs.SupportedCommands> {
    return logs.decodeCommandEffects(
      await this.logPage(LogPage.COMMAND_EFFECTS, logs.LOG_BYTES.COMMAND_EFFECTS),
    );
  }

  /** Identifiers of the log pages that there are; NVMe 2.0. */
  async supportedLogPages(): Promise<number[]> {
    return logs.decodeSupportedLogs(
      await this.logPage(LogPage.SUPPORTED, logs.LOG_BYTES.SUPPORTED),
    );
  }

  /**
   * A feature's value, the current one unless `select` says otherwise. `cdw11` is for features that
   * need to be told more, such as which temperature sensor.
   * Errors: UNSUPPORTED, where the controller has no other than the current values.
   */
  async feature(
    id: number,
    options: { select?: FeatureSelect; nsid?: number; cdw11?: number } = {},
  ): Promise<FeatureValue> {
    const { select = "current", nsid = 0, cdw11 = 0 } = options;
    const { result: value, data } = await this.#getFeature(id, select, nsid, cdw11);
    const fields = decodeFeature(id, value);
    return { value, fields, data: data.byteLength > 0 ? data : null };
  }

  /** Errors: UNSUPPORTED, as feature(). */
  async featureCapabilities(id: number): Promise<FeatureCapabilities> {
    return decodeCapabilities((await this.#getFeature(id, "capabilities", 0, 0)).result);
  }

  /**
   * Sets a feature until the next reset, or with `save` for good; dword 0 of the completion. `value`
   * is dword 11, `data` the structure of a feature that has one.
   * Errors: FEATURE_NOT_ALLOWED for what would break the driver or outlive it; BAD_RANGE; UNSUPPORTED,
   * where it cannot be saved.
   */
  async setFeature(
    id: number,
    value: number,
    options: { nsid?: number; save?: boolean; data?: Uint8Array } = {},
  ): Promise<number> {
    if (!isSettable(id))
      throw this.#error(
        "FEATURE_NOT_ALLOWED",
        `feature 0x${id.toString(16)} is not one that may be set while it is driven from here`,
        "give the device back (p2pmem unbind), then: nvme set-feature",
      );
    const { nsid = 0, save = false, data } = options;
    if (save) this.#assertSaveAndSelect();
    const bytes = FEATURE_DATA_BYTES[id] ?? 0;
    if ((data?.length ?? 0) !== bytes)
      throw this.#error("BAD_RANGE", `feature 0x${id.toString(16)} has ${bytes} bytes of data`);
    const cdw10 = id | (save ? FEATURE_SAVE : 0);
    const command = { opcode: AdminOpcode.SET_FEATURES, nsid, cdw10, cdw11: value };
    return (await transfer(this.#queue, this.#space, command, bytes, data)).result;
  }

  /**
   * Tells the controller that the host knows a descriptor format of Copy, as it must before 2 and 3
   * are taken (NVMe 2.0 §5.27.1.18, CDFE); a reset takes it back. All else that the feature says stays.
   */
  async enableCopyFormat(format: CopyFormat): Promise<void> {
    const buffer = this.#space.allocate(HostBehavior.BYTES);
    try {
      const feature = { prp1: buffer.iova, cdw10: HostBehavior.FEATURE };
      await this.#queue.execute({ opcode: AdminOpcode.GET_FEATURES, ...feature });
      const data = new DataView(buffer.buffer);
      const enabled = data.getUint16(HostBehavior.CDFE_AT, true);
      if ((enabled & (1 << format)) !== 0) return;
      data.setUint16(HostBehavior.CDFE_AT, enabled | (1 << format), true);
      await this.#queue.execute({ opcode: AdminOpcode.SET_FEATURES, ...feature });
    } finally {
      buffer.close();
    }
  }

  #getFeature(
    id: number,
    select: keyof typeof SELECT,
    nsid: number,
    cdw11: number,
  ): Promise<{ result: number; data: DataView }> {
    if (select !== "current") this.#assertSaveAndSelect();
    const bytes = select === "capabilities" ? 0 : (FEATURE_DATA_BYTES[id] ?? 0);
    return transfer(
      this.#queue,
      this.#space,
      {
        opcode: AdminOpcode.GET_FEATURES,
        nsid,
        cdw10: id | (SELECT[select] << 8),
        cdw11: id === Feature.HOST_IDENTIFIER ? cdw11 | EXHID : cdw11,
      },
      bytes,
    );
  }

  async #namespaceList(cns: number): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      // §5.15.2.3: those above the id that the command names.
      const after = ids.at(-1) ?? 0;
      const more = decodeNamespaceList(await this.identify(cns, after));
      ids.push(...more);
      const last = more.at(-1) ?? 0;
      // FFFFFFFEh and above may not be asked for; a list that does not ascend would have no end.
      if (more.length < LIST_IDS || last >= BROADCAST_NSID - 1 || last <= after) return ids;
    }
  }

  #assertSaveAndSelect(): void {
    if ((this.#known().fields.oncs & ONCS.SAVE_AND_SELECT) === 0)
      throw this.#error("UNSUPPORTED", "it keeps current values of features only (ONCS bit 4)");
  }

  /** The driver identifies the controller first of all. */
  #known(): ControllerIdentity {
    if (this.#identity) return this.#identity;
    throw this.#error("NOT_READY", "it has not been identified yet");
  }

  #error(code: string, why: string, hint?: string): P2pError {
    return controllerError(this.#queue.device, code, why, hint);
  }
}
