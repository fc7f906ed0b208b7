import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { type BindingChange, messageOf, requireRoot } from "./change.js";
import type { Condition } from "./condition.js";
import { requireClosed, takeGroupFile } from "./group-file.js";
import type { Host } from "./host.js";
import { type EarlierBinding, readRecord } from "./record.js";
import {
  currentDriver,
  detach,
  driverOverride,
  expectDriver,
  forget,
  override,
  probe,
  VFIO_PCI,
  type Step,
} from "./steps.js";

/** What `unbind` does to a device. */
export interface UnbindChange extends BindingChange {
  /** True where `bind` had written down the earlier driver; else the kernel chose one. */
  recorded: boolean;
}

/** One device on its way back; without steps where it is left alone. */
interface Return {
  readonly fn: PciFunction;
  readonly earlier: EarlierBinding | null;
  readonly steps: readonly Step[];
}

/** Everything that `unbind` will do. */
export class UnbindPlan {
  readonly #host: Host;
  readonly #returns: readonly Return[];
  readonly #conditions: readonly Condition[];
  #isDone = false;

  /** Looks at everything and changes nothing. Errors: UNKNOWN_DEVICE, IN_USE. */
  constructor(host: Host, addresses: readonly Bdf[]) {
    const tree = host.pci();
    this.#host = host;
    this.#returns = addresses.map((address) => planReturn(host, tree.get(address)));
    const owned = this.#returns.filter(({ fn }) => fn.isOwnedByVfio);
    const groups = [...new Set(owned.flatMap(({ fn }) => fn.iommuGroup ?? []))];
    this.#conditions = groups.flatMap((group) => requireClosed(host, group));
  }

  get commands(): string[] {
    const steps = this.#returns.flatMap((device) => device.steps);
    return [...this.#conditions, ...steps].map(({ shell }) => shell);
  }

  /** What is to come; after run(), what came. */
  get devices(): UnbindChange[] {
    return this.#returns.map(({ fn, earlier, steps }) => {
      const changed = steps.length > 0;
      return {
        address: fn.address,
        earlier_driver: fn.driver,
        // The kernel's choice is not known before.
        driver:
          changed && !this.#isDone
            ? (earlier?.driver ?? null)
            : currentDriver(this.#host, fn.address),
        iommu_group: fn.iommuGroup,
        file: null,
        user: null,
        changed,
        recorded: earlier !== null,
      };
    });
  }

  /**
   * A device that fails does not keep the others. Errors: PERMISSION; IN_USE, where a group's file
   * was opened meanwhile; BIND_FAILED, where what is left to do is in the hint.
   */
  run(): void {
    requireRoot(this.#host, "p2pmem unbind");
    const failures = this.#returns.flatMap(({ steps }) => runSteps(steps) ?? []);
    this.#isDone = true;
    const [first] = failures;
    if (first === undefined) return;
    if (failures.length === 1) throw first;
    const hints = new Set(failures.flatMap(({ hint }) => hint ?? []));
    throw new P2pError("BIND_FAILED", failures.map(({ message }) => message).join("; "), {
      hint: [...hints].join("; "),
      cause: first,
    });
  }
}

/** Until one fails. */
function runSteps(steps: readonly Step[]): P2pError | null {
  for (const [index, step] of steps.entries()) {
    try {
      step.run();
    } catch (error) {
      if (error instanceof P2pError) return error;
      const left = steps.slice(index).map(({ shell }) => shell);
      return new P2pError("BIND_FAILED", `\`${step.shell}\` failed: ${messageOf(error)}`, {
        hint: `what is left to do: ${left.join(" && ")}`,
        cause: error,
      });
    }
  }
  return null;
}

function planReturn(host: Host, fn: PciFunction): Return {
  const earlier = readRecord(host, fn.address);
  return { fn, earlier, steps: returnSteps(host, fn, earlier) };
}

/** A device that another driver has, or none without p2pmem's doing, is left alone. */
function returnSteps(host: Host, fn: PciFunction, earlier: EarlierBinding | null): Step[] {
  const { address, driver } = fn;
  if (fn.isOwnedByVfio)
    return [
      ...(fn.iommuGroup === null ? [] : [takeGroupFile(host, fn.iommuGroup)]),
      detach(host, address),
      ...restoreSteps(host, address, earlier),
    ];
  if (earlier !== null && driver !== null && driver === earlier.driver)
    // An unbind that failed, after which the driver was loaded and took its device.
    return [override(host, address, earlier.driver_override), forget(host, address)];
  const isAbandoned = earlier !== null || driverOverride(host, address) === VFIO_PCI;
  return driver === null && isAbandoned ? restoreSteps(host, address, earlier) : [];
}

/** The override makes it that driver and no other, also one that does not list the device's ID. */
function restoreSteps(host: Host, address: Bdf, earlier: EarlierBinding | null): Step[] {
  if (earlier === null)
    return [override(host, address, null), probe(host, address), forget(host, address)];
  const { driver, driver_override: before } = earlier;
  const hint = `load the driver, then try again: sudo modprobe ${driver} && sudo p2pmem unbind ${address}`;
  const toDriver =
    driver === null
      ? []
      : [
          override(host, address, driver),
          probe(host, address),
          expectDriver(host, address, driver, hint),
        ];
  return [...toDriver, override(host, address, before), forget(host, address)];
}
