import { P2pError } from "../../errors.js";
import type { PciTree } from "../../pci/tree.js";
import { counted } from "../../units.js";
import { groupFile, type Host } from "../host.js";
import { isNoIommuGroup } from "../iommu.js";
import { DMA_ENTRY_LIMIT } from "../spec.js";
import { type Check, results } from "./check.js";

const MODULES = ["vfio", "vfio_iommu_type1", "vfio_pci"];
const CONTAINER = "/dev/vfio/vfio";
const GET_MODULES =
  "install the kernel's modules, or boot a kernel with CONFIG_VFIO_PCI and CONFIG_VFIO_IOMMU_TYPE1";
const TYPE1_PARAMETERS = "/sys/module/vfio_iommu_type1/parameters";

export function checkVfioModules(host: Host): Check {
  const { pass, warn, fail, skip } = results("vfio-modules");
  const states = MODULES.map((name) => ({ name, state: moduleState(host, name) }));
  const having = (wanted: ModuleState): string[] =>
    states.flatMap(({ name, state }) => (state === wanted ? [name] : []));
  const listed = states.map(({ name, state }) => `${name} ${state}`).join(", ");
  const idle = having("not loaded");
  if (idle.length > 0) return warn(listed, `sudo modprobe --all ${idle.join(" ")}`);
  const [missing, unknown] = [having("missing"), having("unknown")];
  if (missing.length + unknown.length === 0) return pass(listed);
  // iommufd can stand in for vfio and vfio_iommu_type1 (CONFIG_IOMMUFD_VFIO_CONTAINER).
  const isReplaced = !missing.includes("vfio_pci") && containerProblem(host) === null;
  if (isReplaced) return pass(`${listed}; ${CONTAINER} works`);
  return missing.length > 0
    ? fail(listed, GET_MODULES)
    : skip(`${listed}: no lists in /lib/modules/${host.kernelRelease}`);
}

type ModuleState = "loaded" | "built in" | "not loaded" | "missing" | "unknown";

/** Modules that are built in and have no parameters are in no directory of /sys/module. */
function moduleState(host: Host, name: string): ModuleState {
  const folder = `/lib/modules/${host.kernelRelease}`;
  // File names have hyphens or underscores, as the module's author liked.
  const file = new RegExp(`/${name.replaceAll("_", "[-_]")}\\.ko`, "m");
  const list = (kind: string): string | null => host.read(`${folder}/modules.${kind}`);
  const [builtin, modules] = [list("builtin"), list("dep")];
  if (builtin !== null && file.test(builtin)) return "built in";
  if (host.exists(`/sys/module/${name}`)) return "loaded";
  if (modules !== null && file.test(modules)) return "not loaded";
  return builtin === null || modules === null ? "unknown" : "missing";
}

/** Opens a container, as every command does that works on real devices. */
export function checkVfioContainer(host: Host): Check {
  const { pass, fail } = results("vfio-container");
  const problem = containerProblem(host);
  return problem === null
    ? pass(`${CONTAINER} opens, and has the type1 IOMMU`)
    : fail(problem.evidence, problem.fix);
}

function containerProblem(host: Host): { evidence: string; fix: string } | null {
  const state = moduleState(host, "vfio");
  // Not tried before: to open the file would load the module.
  if (state === "not loaded")
    return { evidence: "VFIO is not loaded", fix: "sudo modprobe vfio-pci" };
  const problem = host.accessProblem(CONTAINER);
  if (problem === "ENOENT" && state === "missing")
    return { evidence: "the kernel has no VFIO", fix: GET_MODULES };
  if (problem === "EACCES")
    return {
      evidence: `${CONTAINER} may not be opened (EACCES)`,
      fix: `sudo chmod 0666 ${CONTAINER}`,
    };
  try {
    host.addon().openVfioAddressSpace().close();
    return null;
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    return { evidence: error.message, fix: error.hint ?? "sudo modprobe vfio_iommu_type1" };
  }
}

export function checkVfioDevices(host: Host, { functions }: PciTree): Check {
  const { pass, warn, fail } = results("vfio-devices");
  const devices = functions.flatMap(({ address, isOwnedByVfio, iommuGroup: group }) => {
    if (!isOwnedByVfio || group === null) return [];
    const isIsolated = !isNoIommuGroup(host, group);
    const file = isIsolated ? groupFile(group) : `/dev/vfio/noiommu-${group}`;
    const owner = host.exists(file) ? host.ownerOf(file) : null;
    return [{ address, file, isIsolated, owner, problem: host.accessProblem(file) }];
  });
  if (devices.length === 0)
    return warn(
      "no device is bound to VFIO",
      "p2pmem list --platform vfio shows the devices, sudo p2pmem bind BDF binds one",
    );
  const closed = devices.filter(({ problem }) => problem !== null);
  if (closed.length === 0) {
    const names = devices.map(({ address, file }) => `${address} (${file})`);
    return pass(`${counted(devices.length, "device")}: ${names.join(", ")}`);
  }
  const reasons = closed.map(({ file, problem, owner }) =>
    owner === null || owner === 0
      ? `${file} (${problem})`
      : `${file} (${problem}, belongs to user ${owner})`,
  );
  // What belongs to another user was given to him: a virtual machine may be using it.
  const free = closed.filter(({ isIsolated, owner }) => isIsolated && owner === 0);
  const result = closed.length < devices.length ? warn : fail;
  return result(
    `cannot be opened: ${[...new Set(reasons)].join(", ")}`,
    free.length > 0
      ? `sudo p2pmem bind --user $(id -un) ${free.map(({ address }) => address).join(" ")}`
      : "use other devices, run as root, or ask the files' owners",
  );
}

export function checkNoIommuMode(host: Host): Check {
  const { pass, warn, skip } = results("no-iommu-mode");
  if (moduleState(host, "vfio") === "not loaded") return skip("VFIO is not loaded");
  const path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  const value = host.read(path);
  if (value === null) return pass("this kernel has none");
  return value === "Y"
    ? warn("on: devices reach all of the memory, unchecked", `echo N | sudo tee ${path}`)
    : pass("off");
}

/** vfio_iommu_type1.c refuses devices whose interrupts are not isolated, unless told not to. */
export function checkInterruptRemapping(host: Host): Check {
  const { pass, warn, fail, skip } = results("interrupt-remapping");
  const path = `${TYPE1_PARAMETERS}/allow_unsafe_interrupts`;
  const value = host.read(path);
  if (value === null) return skip(`no ${path}: vfio_iommu_type1 is not loaded`);
  const isOn = remapsInterrupts(host);
  const switchOn =
    "switch interrupt remapping (x2APIC) on in the firmware setup, and take intremap=off or " +
    "nointremap off the kernel command line";
  if (value === "Y")
    return warn(
      "VFIO takes devices without it (allow_unsafe_interrupts=Y)",
      isOn === true ? `echo N | sudo tee ${path}` : switchOn,
    );
  const insists = "VFIO insists on it (allow_unsafe_interrupts=N)";
  if (isOn === null) return skip(`${insists}; whether the machine has it is not known`);
  return isOn
    ? pass(`on, and ${insists}`)
    : fail(
        `off: no IR- chip in /proc/interrupts; ${insists}`,
        `${switchOn}; or let devices send any interrupt: echo Y | sudo tee ${path}`,
      );
}

/**
 * On Intel and AMD remapped interrupts come through chips called IR-PCI-MSI, IR-IO-APIC
 * (linux/drivers/iommu/intel/irq_remapping.c, linux/drivers/iommu/amd/iommu.c); null elsewhere.
 */
function remapsInterrupts(host: Host): boolean | null {
  const isX86 = /^vendor_id\s*:/m.test(host.read("/proc/cpuinfo") ?? "");
  const interrupts = host.read("/proc/interrupts");
  return isX86 && interrupts !== null ? /\sIR-/.test(interrupts) : null;
}

export function checkDmaEntryLimit(host: Host): Check {
  const { pass, warn, skip } = results("dma-entry-limit");
  const path = `${TYPE1_PARAMETERS}/dma_entry_limit`;
  const value = host.read(path);
  if (value === null) return skip(`no ${path}: vfio_iommu_type1 is not loaded`);
  const evidence = `${value} mappings in one address space`;
  return Number(value) < DMA_ENTRY_LIMIT
    ? warn(evidence, `echo ${DMA_ENTRY_LIMIT} | sudo tee ${path}`)
    : pass(evidence);
}
