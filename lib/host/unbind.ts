import { constants } from "node:fs";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { type BindingChange, messageOf, requireRoot } from "./change.js";
import { groupFile, type Host } from "./host.js";
import { openDeviceFiles } from "./processes.js";
import { type EarlierBinding, readRecord } from "./record.js";
import {
  currentDriver,
  detach,
  expectDriver,
  forget,
  giveGroupFile,
  override,
  probe,
  type Step,
} from "./steps.js";
import type { Condition } from "./uses.js";

const ROOT = { name: "root", uid: 0 };

/** What `unbind` does to a device. */
export interface UnbindChange extends BindingChange {
  /** True where `bind` had written down the earlier driver; else the kernel chose one. */
  recorded: boolean;
}

/** Everything that `unbind` will do. */
export class UnbindPlan {
  readonly #host: Host;
  readonly #functions: readonly PciFunction[];
  readonly #records: ReadonlyMap<Bdf, EarlierBinding | null>;
  readonly #conditions: readonly Condition[];
  readonly #steps: readonly Step[];
  #isDone = false;

  /** Looks at everything and changes nothing. Errors: UNKNOWN_DEVICE, IN_USE. */
  constructor(host: Host, addresses: readonly Bdf[]) {
    const tree = host.pci();
    this.#host = host;
    this.#functions = addresses.map((address) => tree.get(address));
    this.#records = new Map(addresses.map((address) => [address, readRecord(host, address)]));
    const leaving = this.#functions.filter(needsUnbind);
    const groups = [...new Set(leaving.flatMap((fn) => fn.iommuGroup ?? []))];
    this.#conditions = groups.flatMap((group) => requireClosed(host, group));
    this.#steps = [
      ...groups
        .filter((group) => isUsers(host, groupFile(group)))
        .map((group) => giveGroupFile(host, group, ROOT)),
      ...leaving.flatMap((fn) => unbindSteps(host, fn, this.#records.get(fn.address) ?? null)),
    ];
  }

  get commands(): string[] {
    return [...this.#conditions, ...this.#steps].map(({ shell }) => shell);
  }

  /** What is to come; after run(), what came. */
  get devices(): UnbindChange[] {
    return this.#functions.map((fn) => {
      const record = this.#records.get(fn.address) ?? null;
      const isLeaving = needsUnbind(fn) && !this.#isDone;
      return {
        address: fn.address,
        earlier_driver: fn.driver,
        // The kernel's choice is not known before.
        driver: isLeaving ? (record?.driver ?? null) : currentDriver(this.#host, fn.address),
        iommu_group: fn.iommuGroup,
        file: null,
        user: null,
        changed: needsUnbind(fn),
        recorded: record !== null,
      };
    });
  }

  /** Errors: PERMISSION, BIND_FAILED, where what is left to do is in the hint. */
  run(): void {
    requireRoot(this.#host, "p2pmem unbind");
    this.#steps.forEach((step, index) => {
      try {
        step.run();
      } catch (error) {
        if (error instanceof P2pError) throw error;
        const left = this.#steps.slice(index).map(({ shell }) => shell);
        throw new P2pError("BIND_FAILED", `\`${step.shell}\` failed: ${messageOf(error)}`, {
          hint: `what is left to do: ${left.join(" && ")}`,
          cause: error,
        });
      }
    });
    this.#isDone = true;
  }
}

/** A device that some other driver has is not p2pmem's to take. */
function needsUnbind(fn: PciFunction): boolean {
  return fn.driver === null || fn.isOwnedByVfio;
}

function isUsers(host: Host, path: string): boolean {
  return host.exists(path) && host.ownerOf(path) !== ROOT.uid;
}

/** VFIO lets one process have a group's file open, and an unbind would wait for it. */
function requireClosed(host: Host, group: number): Condition[] {
  const path = groupFile(group);
  if (!host.exists(path)) return [];
  if (host.tryOpen(path, constants.O_RDWR) === "EBUSY") {
    const users = openDeviceFiles(host).get(path)?.join(", ") ?? "another process";
    throw new P2pError("IN_USE", `${path} is open in ${users}`, {
      hint: `end it first; fuser -v ${path} shows it`,
    });
  }
  return [{ shell: `true <>${path}`, violation: null }];
}

function unbindSteps(host: Host, fn: PciFunction, earlier: EarlierBinding | null): Step[] {
  const { address } = fn;
  return [
    ...(fn.driver === null ? [] : [detach(host, address)]),
    ...(earlier === null
      ? [override(host, address, null), probe(host, address)]
      : returnSteps(host, address, earlier)),
    forget(host, address),
  ];
}

/** The override makes it that driver and no other, also one that does not list the device's ID. */
function returnSteps(host: Host, address: Bdf, earlier: EarlierBinding): Step[] {
  const { driver, driver_override: before } = earlier;
  if (driver === null) return [override(host, address, before)];
  const hint = `load the driver, then try again: modprobe ${driver} && p2pmem unbind ${address}`;
  return [
    override(host, address, driver),
    probe(host, address),
    expectDriver(host, address, driver, hint),
    override(host, address, before),
  ];
}
