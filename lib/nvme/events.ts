/** Asynchronous events (NVMe 1.4 §5.2): what a controller has to say that no command asked for. */
import type { AdminCommands } from "./admin/admin-commands.js";
import type { AdminQueue } from "./queues/admin-queue.js";
import type { ControllerIdentity } from "./admin/identify.js";
import {
  AdminOpcode,
  AsyncEventConfiguration,
  EventType,
  Feature,
  LogPage,
  NAMESPACE_CHANGED,
} from "./spec.js";

/** An event as dword 0 of its completion has it (§5.2.1), with what its log page said. */
export interface NvmeEvent {
  /** Type and information, by number and by name: `Temperature Threshold`. */
  readonly type: number;
  readonly information: number;
  readonly typeName: string;
  readonly name: string;
  /** The log page that says more; reading it made room for the next event of this type. */
  readonly logPage: number;
  /** What it held then; null where it cannot be read. */
  readonly log: DataView | null;
}

export type NvmeEventHandler = (event: NvmeEvent) => void;

/** Requests outstanding at once, where the controller takes so many: one for each type of event. */
const MOST_REQUESTS = 4;

/** Bytes of log pages that are not as long as most. */
const LOG_BYTES: Readonly<Record<number, number>> = {
  [LogPage.ERROR]: 64, // the entry that is new
  [LogPage.CHANGED_NAMESPACES]: 4096,
};
const MOST_LOG_BYTES = 512;

/** §5.2.1 figures 146 to 150. */
const NAMES: Readonly<Record<number, { name: string; events: Readonly<Record<number, string>> }>> =
  {
    [EventType.ERROR]: {
      name: "Error status",
      events: {
        0x00: "Write to Invalid Doorbell Register",
        0x01: "Invalid Doorbell Write Value",
        0x02: "Diagnostic Failure",
        0x03: "Persistent Internal Error",
        0x04: "Transient Internal Error",
        0x05: "Firmware Image Load Error",
      },
    },
    [EventType.HEALTH]: {
      name: "SMART / Health status",
      events: {
        0x00: "NVM subsystem Reliability",
        0x01: "Temperature Threshold",
        0x02: "Spare Below Threshold",
      },
    },
    [EventType.NOTICE]: {
      name: "Notice",
      events: {
        0x00: "Namespace Attribute Changed",
        0x01: "Firmware Activation Starting",
        0x02: "Telemetry Log Changed",
        0x03: "Asymmetric Namespace Access Change",
        0x04: "Predictable Latency Event Aggregate Log Change",
        0x05: "LBA Status Information Alert",
        0x06: "Endurance Group Event Aggregate Log Page Change",
      },
    },
    [EventType.IO_COMMAND_SET]: {
      name: "NVM Command Set Specific Status",
      events: {
        0x00: "Reservation Log Page Available",
        0x01: "Sanitize Operation Completed",
        0x02: "Sanitize Operation Completed With Unexpected Deallocation",
      },
    },
    [EventType.VENDOR]: { name: "Vendor specific", events: {} },
  };

/** Type, information and log page of an event, with their names. */
export function decodeEvent(result: number): Omit<NvmeEvent, "log"> {
  const type = result & 0x7;
  const information = (result >>> 8) & 0xff;
  const logPage = (result >>> 16) & 0xff;
  const known = NAMES[type];
  const unknown = `0x${information.toString(16).padStart(2, "0")}`;
  return {
    type,
    information,
    typeName: known?.name ?? `type ${type}`,
    name: known?.events[information] ?? unknown,
    logPage,
  };
}

/** What it needs of a controller. */
interface EventSource {
  readonly admin: AdminQueue;
  readonly commands: AdminCommands;
  readonly identity: ControllerIdentity;
}

/**
 * Asks a controller for its events, tells of each, and asks again. Requests wait in the admin queue
 * for as long as it takes; they end quietly with the queue, at a reset or in the end.
 */
export class AsyncEvents {
  readonly #source: EventSource;
  readonly #onNamespaces: () => Promise<void>;
  #handler: NvmeEventHandler | null = null;
  #isOn = false;

  /** `onNamespaces`: done before an event is told that namespaces have changed. */
  constructor(source: EventSource, onNamespaces: () => Promise<void>) {
    this.#source = source;
    this.#onNamespaces = onNamespaces;
  }

  /** See NvmeController.onEvent(). */
  async listen(handler: NvmeEventHandler | null): Promise<void> {
    this.#handler = handler;
    if (!handler || this.#isOn) return;
    this.#isOn = true;
    try {
      await this.#start();
    } catch (error) {
      this.#isOn = false;
      throw error;
    }
  }

  /** After a reset, which ended all requests. Errors: those of admin commands. */
  async startAgain(): Promise<void> {
    if (this.#isOn) await this.#start();
  }

  async #start(): Promise<void> {
    const { admin, identity } = this.#source;
    const { CRITICAL_WARNINGS, NOTICES } = AsyncEventConfiguration;
    await admin.execute({
      opcode: AdminOpcode.SET_FEATURES,
      cdw10: Feature.ASYNC_EVENT_CONFIGURATION,
      // Notices that the controller does not have may not be asked for (§5.21.1.11).
      cdw11: CRITICAL_WARNINGS | (NOTICES & identity.optionalEvents),
    });
    const requests = Math.min(identity.asyncEventLimit, MOST_REQUESTS);
    for (let n = 0; n < requests; n++) void this.#request();
  }

  async #request(): Promise<void> {
    const { admin, commands } = this.#source;
    try {
      for (;;) {
        const opcode = AdminOpcode.ASYNC_EVENT_REQUEST;
        const event = decodeEvent(await admin.execute({ opcode }, Infinity));
        const log = await this.#readLog(commands, event.logPage);
        if (event.type === EventType.NOTICE && event.information === NAMESPACE_CHANGED)
          await this.#onNamespaces().catch(() => undefined); // they may be changing still
        // What the handler throws is for the process, as with any callback.
        queueMicrotask(() => this.#handler?.({ ...event, log }));
      }
    } catch {
      // The queue has ended, or the controller takes no more requests than it has.
    }
  }

  /** §5.2: until then the controller reports no other event of that type. */
  async #readLog(commands: AdminCommands, id: number): Promise<DataView | null> {
    if (id === 0) return null; // no event names the list of supported log pages
    try {
      return await commands.logPage(id, LOG_BYTES[id] ?? MOST_LOG_BYTES);
    } catch {
      return null; // the event is told all the same; if the queue has ended, that shows next
    }
  }
}
