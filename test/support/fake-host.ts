import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import type { NativeAddon } from "#lib/addon.js";
import { type DeviceNumber, Host, type ProgramResult } from "#lib/host/host.js";
import { type FakeFunction, fakeFunction } from "./fake-pci.js";

const DRIVERS = "/sys/bus/pci/drivers";

/** A PCI function of a {@link FakeHost}. */
export interface FakeHostFunction extends FakeFunction {
  driver?: string;
  iommuGroup?: number;
  /** The driver that the kernel chooses where nothing overrides it. */
  natural?: string;
}

function errnoError(code: string): Error {
  return Object.assign(new Error(`${code}: refused by the test`), { code });
}

/**
 * A host made of files in a temporary directory, with a kernel that does what writes to sysfs ask
 * for: binding and unbinding of drivers, and the files that VFIO makes.
 */
export class FakeHost extends Host {
  /** Programs that were run, and attributes that were written. */
  readonly actions: string[] = [];
  readonly owners = new Map<string, number>();
  /** What the device files stand for. */
  readonly nodes = new Map<string, DeviceNumber>();
  readonly users: Record<string, number> = { alice: 1000, bob: 1001 };
  /** Files that cannot be opened, with the errno. */
  readonly refusals = new Map<string, string>();
  /** Writes of this value to a file of this name fail. */
  failingWrite: { name: string; value: string } | null = null;
  /** Drivers whose probe fails. */
  readonly failingDrivers = new Set<string>();
  /** Changes that are made before all others fail, as if the process had ended. */
  changesLeft = Infinity;
  /** Called before each change, with what it is. */
  beforeChange: (action: string) => void = () => undefined;
  canLoadModules = true;
  facts = { uid: 0, kernelRelease: "7.1.0-test", nodeVersion: "20.19.0" };
  nativeAddon: (() => NativeAddon) | null = null;
  readonly #functions = new Map<string, FakeHostFunction>();

  constructor() {
    super(mkdtempSync(join(tmpdir(), "p2pmem-host-")));
    this.file("/sys/bus/pci/drivers_probe", "");
    this.driver("vfio-pci");
  }

  destroy(): void {
    rmSync(this.root, { recursive: true });
  }

  file(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
  }

  directory(path: string): void {
    mkdirSync(join(this.root, path), { recursive: true });
  }

  removeTree(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }

  link(path: string, target: string): void {
    const from = dirname(join(this.root, path));
    mkdirSync(from, { recursive: true });
    rmSync(join(this.root, path), { force: true });
    symlinkSync(relative(from, join(this.root, target)), join(this.root, path));
  }

  driver(name: string): void {
    this.file(`${DRIVERS}/${name}/bind`, "");
  }

  /** As if its module were not loaded. */
  removeDriver(name: string): void {
    this.removeTree(`${DRIVERS}/${name}`);
  }

  /** Returns where the function is in /sys. */
  pciFunction(facts: FakeHostFunction): string {
    const { address, parent, iommuGroup, driver } = facts;
    const above = parent === undefined ? "" : `/${parent}`;
    const path = `/sys/devices/pci0000:00${above}/${address}`;
    const raw = fakeFunction(facts);
    this.#functions.set(address, facts);
    this.file(`${path}/config`, raw.config);
    this.file(`${path}/vendor`, "0x1b36\n");
    this.file(`${path}/device`, "0x0010\n");
    this.file(`${path}/resource`, "0x0 0x0 0x0\n");
    this.file(`${path}/driver_override`, "(null)\n");
    this.link(`/sys/bus/pci/devices/${address}`, path);
    if (iommuGroup !== undefined) {
      const group = `/sys/kernel/iommu_groups/${iommuGroup}`;
      this.file(`${group}/type`, "DMA-FQ\n");
      this.link(`${path}/iommu_group`, group);
    }
    if (driver !== undefined && this.driverOf(address) === null) this.#bind(address, driver);
    return path;
  }

  /** A disk, network interface or the like; `path` is its directory in /sys. */
  kernelDevice(path: string, subsystem: string, files: Record<string, string> = {}): void {
    this.directory(path);
    this.link(`${path}/subsystem`, `/sys/class/${subsystem}`);
    for (const [name, text] of Object.entries(files)) this.file(`${path}/${name}`, text);
    const device = /^DEVNAME=(.*)$/m.exec(files.uevent ?? "")?.[1];
    if (device === undefined) return;
    const number = files.dev?.trim();
    const kind = subsystem === "block" ? "b" : "c";
    this.node(`/dev/${device}`, number === undefined ? null : (`${kind}${number}` as DeviceNumber));
  }

  /** A device file, of whatever name. */
  node(path: string, number: DeviceNumber | null): void {
    this.file(path, "");
    if (number !== null) this.nodes.set(path, number);
  }

  disk(path: string, number: string): void {
    const name = basename(path);
    this.kernelDevice(path, "block", { dev: `${number}\n`, uevent: `DEVNAME=${name}\n` });
    this.directory(`${path}/holders`);
  }

  /** A process that has a file open. */
  process(pid: number, name: string, file: string): void {
    this.file(`/proc/${pid}/comm`, `${name}\n`);
    this.directory(`/proc/${pid}/fd`);
    symlinkSync(file, join(this.root, `/proc/${pid}/fd/3`));
  }

  driverOf(address: string): string | null {
    return this.linkName(`/sys/bus/pci/devices/${address}/driver`);
  }

  overrideOf(address: string): string | null {
    return this.read(`/sys/bus/pci/devices/${address}/driver_override`);
  }

  override get uid(): number {
    return this.facts.uid;
  }

  override get kernelRelease(): string {
    return this.facts.kernelRelease;
  }

  override get nodeVersion(): string {
    return this.facts.nodeVersion;
  }

  override addon(): NativeAddon {
    return this.nativeAddon === null ? super.addon() : this.nativeAddon();
  }

  override tryOpen(path: string, flags: number): string | null {
    return this.refusals.get(path) ?? super.tryOpen(path, flags);
  }

  override deviceNumber(path: string): DeviceNumber | null {
    const opened = path.startsWith("/proc/") ? this.readLink(path) : path;
    return this.nodes.get(this.realPath(opened ?? "") ?? opened ?? "") ?? null;
  }

  override accessProblem(path: string): string | null {
    return this.refusals.get(path) ?? super.accessProblem(path);
  }

  override ownerOf(path: string): number {
    return this.owners.get(path) ?? 0;
  }

  override chown(path: string, uid: number): void {
    this.#change(`chown ${uid} ${path}`);
    if (!this.exists(path)) throw errnoError("ENOENT");
    this.owners.set(path, uid);
  }

  override createFile(path: string, text: string): void {
    this.#change(`create ${path}`);
    super.createFile(path, text);
  }

  override remove(path: string): void {
    this.#change(`remove ${path}`);
    super.remove(path);
  }

  override run(program: string, ...args: string[]): ProgramResult {
    this.actions.push([program, ...args].join(" "));
    if (program === "udevadm") return { status: 0, stdout: "", stderr: "" };
    if (program === "id") {
      const uid = this.users[args.at(-1)!];
      return { status: uid === undefined ? 1 : 0, stdout: String(uid ?? ""), stderr: "" };
    }
    if (program !== "modprobe" || !this.canLoadModules)
      return { status: 1, stdout: "", stderr: "modprobe: FATAL: Module vfio-pci not found" };
    if (!args.includes("--dry-run")) this.loadDriver(args.at(-1)!);
    return { status: 0, stdout: "", stderr: "" };
  }

  /** As modprobe(8) does: the driver takes every device without one that it matches. */
  loadDriver(name: string): void {
    this.driver(name);
    for (const address of this.#functions.keys()) this.#probe(address);
  }

  override write(path: string, text: string): void {
    this.#change(`${text.trim()} > ${path}`);
    this.actions.push(`${text.trim()} > ${path}`);
    const name = basename(path);
    const value = text.trim();
    if (this.failingWrite?.name === name && this.failingWrite.value === value)
      throw errnoError("EIO");
    if (!existsSync(join(this.root, path)) && name !== "unbind") throw errnoError("ENOENT");
    if (name === "driver_override") this.file(path, value === "" ? "(null)\n" : text);
    else if (name === "unbind") this.#unbind(value);
    else if (name === "bind") this.#bind(value, basename(dirname(path)));
    else if (name === "drivers_probe") this.#probe(value);
    else throw errnoError("EACCES");
  }

  #change(action: string): void {
    this.beforeChange(action);
    if (this.changesLeft-- <= 0) throw errnoError("EINTR");
  }

  #probe(address: string): void {
    if (this.driverOf(address) !== null) return;
    const override = this.overrideOf(address);
    const driver = override === "(null)" ? this.#functions.get(address)?.natural : override;
    if (driver === undefined || driver === null || this.failingDrivers.has(driver)) return;
    if (existsSync(join(this.root, DRIVERS, driver))) this.#bind(address, driver);
  }

  #bind(address: string, driver: string): void {
    const override = this.overrideOf(address);
    // The kernel's driver_match_device().
    if (override !== "(null)" && override !== driver) throw errnoError("ENODEV");
    if (this.driverOf(address) !== null) throw errnoError("EBUSY");
    this.driver(driver);
    this.link(`/sys/bus/pci/devices/${address}/driver`, `${DRIVERS}/${driver}`);
    const group = this.#functions.get(address)?.iommuGroup;
    if (driver === "vfio-pci" && group !== undefined)
      this.node(`/dev/vfio/${group}`, `c240:${group}`);
  }

  #unbind(address: string): void {
    if (this.driverOf(address) === null) throw errnoError("ENODEV");
    rmSync(join(this.root, `/sys/bus/pci/devices/${address}/driver`));
    const group = this.#functions.get(address)?.iommuGroup;
    const isKept = [...this.#functions.values()].some(
      (fn) => fn.iommuGroup === group && this.driverOf(fn.address) === "vfio-pci",
    );
    if (!isKept) super.remove(`/dev/vfio/${group}`);
  }
}
