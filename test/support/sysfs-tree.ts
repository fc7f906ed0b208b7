import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fakeFunction } from "./fake-pci.js";

/** A PCI function of a machine that {@link SysfsTree} writes: only `path` is needed. */
export interface SysfsFunction {
  /** Its place below sys/devices: `pci0000:00/0000:00:01.0/0000:01:00.0`. */
  path: string;
  vendor?: string;
  device?: string;
  classCode?: number;
  isBridge?: boolean;
  config?: Uint8Array;
  resource?: string;
  driver?: string;
  group?: number;
  /** Address of the physical function, in the same directory. */
  physfn?: string;
  /** numa_node, current_link_speed and others by name. */
  files?: Record<string, string>;
}

const NO_RESOURCE = `${"0x0000000000000000 ".repeat(3).trimEnd()}\n`;

/** `sys` and `proc` of a made-up machine, in a temporary directory, laid out as the kernel does. */
export class SysfsTree {
  readonly root = mkdtempSync(join(tmpdir(), "p2pmem-sysfs-"));

  constructor(functions: readonly SysfsFunction[], { cpuinfo = "", groupType = "DMA" } = {}) {
    mkdirSync(this.#at("sys/bus/pci/devices"), { recursive: true });
    this.write("proc/cpuinfo", cpuinfo);
    this.write("proc/sys/kernel/osrelease", "6.12.0-test\n");
    for (const fn of functions) this.#add(fn, groupType);
  }

  /** Path of a function's file below the root. */
  static file(path: string, name: string): string {
    return join("sys/devices", path, name);
  }

  write(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.#at(path)), { recursive: true });
    writeFileSync(this.#at(path), content);
  }

  remove(path: string): void {
    rmSync(this.#at(path), { recursive: true });
  }

  /** A relative link, as all of sysfs's are. */
  link(path: string, target: string): void {
    mkdirSync(dirname(this.#at(path)), { recursive: true });
    symlinkSync(relative(dirname(this.#at(path)), this.#at(target)), this.#at(path));
  }

  delete(): void {
    rmSync(this.root, { recursive: true });
  }

  #at(path: string): string {
    return join(this.root, path);
  }

  #add(fn: SysfsFunction, groupType: string): void {
    const at = (name: string): string => SysfsTree.file(fn.path, name);
    const address = basename(fn.path);
    const made = fakeFunction({
      address,
      ...(fn.classCode === undefined ? {} : { classCode: fn.classCode }),
      ...(fn.isBridge === undefined ? {} : { isBridge: fn.isBridge }),
    });
    this.write(at("vendor"), `${fn.vendor ?? "0x1b36"}\n`);
    this.write(at("device"), `${fn.device ?? "0x0010"}\n`);
    this.write(at("config"), fn.config ?? made.config);
    this.write(at("resource"), fn.resource ?? NO_RESOURCE.repeat(7));
    for (const [name, text] of Object.entries(fn.files ?? {})) this.write(at(name), `${text}\n`);
    if (fn.driver !== undefined) this.link(at("driver"), `sys/bus/pci/drivers/${fn.driver}`);
    if (fn.physfn !== undefined) this.link(at("physfn"), join(dirname(at("")), fn.physfn));
    if (fn.group !== undefined) {
      const group = `sys/kernel/iommu_groups/${fn.group}`;
      this.write(join(group, "type"), `${groupType}\n`);
      this.link(at("iommu_group"), group);
    }
    this.link(join("sys/bus/pci/devices", address), join("sys/devices", fn.path));
  }
}
