import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { PciTree } from "../pci/tree.js";
import { type BindingChange, messageOf, requireRoot } from "./change.js";
import type { Condition } from "./condition.js";
import { expectGroupFile, giveGroupFile, requireClosed, type User } from "./group-file.js";
import { groupFile, type Host } from "./host.js";
import { switchIommuOn } from "./iommu.js";
import { openDevices, type OpenDevices } from "./processes.js";
import { type EarlierBinding, readRecord } from "./record.js";
import {
  currentDriver,
  detach,
  driverOverride,
  expectDriver,
  hasDriver,
  loadVfio,
  modprobe,
  override,
  probe,
  remember,
  VFIO_PCI,
  type Step,
} from "./steps.js";
import { unusedConditions } from "./uses.js";
import { isBridge, keepsGroupFromVfio } from "./viability.js";

export interface BindOptions {
  /** Binds the other functions of the devices' IOMMU groups, too. */
  group?: boolean;
  /** The user who gets the groups' files. */
  user?: string;
}

/** Everything that `bind` will do, known to be allowed. */
export class BindPlan {
  readonly devices: readonly BindingChange[];
  readonly #host: Host;
  readonly #conditions: readonly Condition[];
  readonly #steps: readonly Step[];

  /**
   * Looks at everything and changes nothing. Errors: UNKNOWN_DEVICE, BRIDGE, NO_IOMMU, BAD_USER,
   * GROUP_NOT_VIABLE, DEVICE_BUSY, IN_USE, NO_VFIO.
   */
  constructor(host: Host, addresses: readonly Bdf[], options: BindOptions) {
    const tree = host.pci();
    const named = addresses.map((address) => requireBindable(host, tree.get(address)));
    const user = options.user === undefined ? null : findUser(host, options.user);
    const wanted = wantedFunctions(tree, named, options.group === true);
    const missing = wanted.filter((fn) => !fn.isOwnedByVfio);
    this.#host = host;
    const opened = openDevices(host);
    const unused = missing.map((fn) => ({ fn, conditions: requireUnused(host, fn, opened) }));
    this.#conditions = [
      ...unused.flatMap(({ conditions }) => conditions),
      ...(user === null ? [] : closedConditions(host, groupsOf(wanted), user)),
    ];
    this.#steps = [
      ...(missing.length > 0 ? loadingSteps(host) : []),
      ...unused.flatMap(({ fn, conditions }) => bindSteps(host, fn, conditions)),
      ...(user === null ? [] : groupsOf(wanted).map((group) => giveGroupFile(host, group, user))),
    ];
    this.devices = wanted.map((fn) => ({
      address: fn.address,
      earlier_driver: fn.driver,
      driver: fn.isOwnedByVfio ? fn.driver : VFIO_PCI,
      iommu_group: fn.iommuGroup,
      file: groupFile(fn.iommuGroup!),
      user: user?.name ?? null,
      changed: !fn.isOwnedByVfio,
    }));
  }

  /** What is checked and done, as shell commands. */
  get commands(): string[] {
    return [...this.#conditions, ...this.#steps].map(({ shell }) => shell);
  }

  /**
   * Does it, or nothing: where a step fails, what was done is taken back. Errors: PERMISSION,
   * BIND_FAILED, DEVICE_BUSY, NO_VFIO.
   */
  run(): void {
    requireRoot(this.#host, "p2pmem bind");
    const done: Step[] = [];
    try {
      for (const step of this.#steps) {
        // Before it runs: a step that fails halfway is taken back as well.
        done.push(step);
        step.run();
      }
    } catch (error) {
      throw this.#explain(error, done.at(-1)!, takeBack(done));
    }
  }

  #explain(error: unknown, failed: Step, problems: readonly string[]): P2pError {
    const drivers = this.devices
      .filter(({ changed }) => changed)
      .map(({ address }) => `${address} has ${currentDriver(this.#host, address) ?? "no driver"}`);
    const state = drivers.length > 0 ? `; taken back: ${drivers.join(", ")}` : "";
    const trouble = problems.length > 0 ? `, but: ${problems.join(", ")}` : "";
    if (error instanceof P2pError)
      return new P2pError(error.code, `${error.message}${state}${trouble}`, error);
    return new P2pError(
      "BIND_FAILED",
      `\`${failed.shell}\` failed: ${messageOf(error)}${state}${trouble}`,
      { hint: "the kernel's log may say more: dmesg | tail", cause: error },
    );
  }
}

/** In reverse, as far as it goes; returns what went wrong. */
function takeBack(done: readonly Step[]): string[] {
  return [...done].reverse().flatMap((step) => {
    try {
      step.undo?.();
      return [];
    } catch (error) {
      return [`\`${step.shell}\` could not be taken back: ${messageOf(error)}`];
    }
  });
}

function requireBindable(host: Host, fn: PciFunction): PciFunction {
  const device = fn.address;
  if (isBridge(fn))
    throw new P2pError("BRIDGE", `${device} is a bridge, which the kernel must keep`, {
      device,
      hint: "bind the devices below it",
    });
  if (fn.iommuGroup === null)
    throw new P2pError("NO_IOMMU", `${device} has no IOMMU group`, {
      device,
      hint: switchIommuOn(host),
    });
  return fn;
}

function findUser(host: Host, name: string): User {
  // Through the name service, which knows more users than /etc/passwd does.
  const { status, stdout } = host.run("id", "-u", "--", name);
  if (status === 0 && /^[\w.@+-]+$/.test(name)) return { name, uid: Number(stdout) };
  throw new P2pError("BAD_USER", `there is no user "${name}"`, {
    hint: "getent passwd shows the users",
  });
}

function groupsOf(functions: readonly PciFunction[]): number[] {
  return [...new Set(functions.map((fn) => fn.iommuGroup!))];
}

/** The named functions, or with `--group` all of their groups that are no bridges. */
function wantedFunctions(
  tree: PciTree,
  named: readonly PciFunction[],
  wholeGroups: boolean,
): PciFunction[] {
  const members = groupsOf(named).flatMap((group) =>
    tree.functions.filter((fn) => fn.iommuGroup === group),
  );
  const wanted = wholeGroups ? members.filter((fn) => !isBridge(fn)) : [...new Set(named)];
  for (const fn of named) requireViable(fn, members, wanted);
  return wanted;
}

function requireViable(
  fn: PciFunction,
  members: readonly PciFunction[],
  wanted: readonly PciFunction[],
): void {
  const others = members.filter(
    (other) =>
      other.iommuGroup === fn.iommuGroup && !wanted.includes(other) && keepsGroupFromVfio(other),
  );
  if (others.length === 0) return;
  const names = others.map(({ address, driver }) => `${address} (${driver})`).join(", ");
  throw new P2pError(
    "GROUP_NOT_VIABLE",
    `IOMMU group ${fn.iommuGroup} of ${fn.address} is shared with ${names}`,
    {
      device: fn.address,
      hint: others.some(isBridge)
        ? "a bridge cannot be given away: use a slot whose devices are a group of their own"
        : "bind the whole group with --group, or take their drivers away",
    },
  );
}

function requireUnused(host: Host, fn: PciFunction, opened?: OpenDevices): Condition[] {
  const { address } = fn;
  const conditions = unusedConditions(host, fn, opened);
  const uses = conditions.flatMap(({ violation }) => violation ?? []);
  if (uses.length === 0) return conditions;
  throw new P2pError("DEVICE_BUSY", `${address} is in use: ${uses.join("; ")}`, {
    device: address,
    hint: "free it first: p2pmem takes the whole device",
  });
}

/** Another user's group is not taken from a program that has it open. */
function closedConditions(host: Host, groups: readonly number[], user: User): Condition[] {
  return groups
    .filter((group) => host.exists(groupFile(group)) && host.ownerOf(groupFile(group)) !== user.uid)
    .flatMap((group) => requireClosed(host, group));
}

/** Looked at again: the devices before it may have taken seconds. Errors: DEVICE_BUSY. */
function stillUnused(host: Host, fn: PciFunction, conditions: readonly Condition[]): Step {
  return {
    shell: conditions.map(({ shell }) => shell).join(" &&\n"),
    run: () => void requireUnused(host, fn),
  };
}

function loadingSteps(host: Host): Step[] {
  if (hasDriver(host, VFIO_PCI)) return [];
  modprobe(host, "--dry-run", "--quiet", VFIO_PCI);
  return [loadVfio(host)];
}

function bindSteps(host: Host, fn: PciFunction, conditions: readonly Condition[]): Step[] {
  const { address, driver } = fn;
  return [
    remember(host, address, earlierBinding(host, fn)),
    // Before the override: taken back in reverse, its earlier driver comes after the override went.
    ...(driver === null ? [] : [stillUnused(host, fn, conditions), detach(host, address)]),
    override(host, address, VFIO_PCI),
    probe(host, address),
    expectDriver(host, address, VFIO_PCI, "the kernel's log says why: dmesg | tail"),
    expectGroupFile(host, address, fn.iommuGroup!),
  ];
}

/**
 * A record of a device that has its recorded driver, or none, is what an interrupted `bind` or
 * `unbind` left; what the device has now came after.
 */
function earlierBinding(host: Host, { address, driver }: PciFunction): EarlierBinding {
  const record = readRecord(host, address);
  if (record !== null && (driver === null || driver === record.driver)) return record;
  const before = driverOverride(host, address);
  return { driver, driver_override: before === VFIO_PCI ? null : before };
}
