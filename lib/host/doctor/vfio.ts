import { P2pError } from "../../errors.js";
import { groupFile, type Host } from "../host.js";
import { DMA_ENTRY_LIMIT } from "../spec.js";
import { type Check, plural, results } from "./check.js";

const MODULES = ["vfio", "vfio_iommu_type1", "vfio_pci"];
const CONTAINER = "/dev/vfio/vfio";
const GET_MODULES =
  "install the kernel's modules, or boot a kernel with CONFIG_VFIO_PCI and CONFIG_VFIO_IOMMU_TYPE1";
const TYPE1_PARAMETERS = "/sys/module/vfio_iommu_type1/parameters";

export function checkVfioModules(host: Host): Check {
  const { pass, warn, fail } = results("vfio-modules");
  const states = MODULES.map((name) => ({ name, state: moduleState(host, name) }));
  const evidence = states.map(({ name, state }) => `${name} ${state}`).join(", ");
  const having = (wanted: string): string[] =>
    states.flatMap(({ name, state }) => (state === wanted ? [name] : []));
  if (having("missing").length > 0) return fail(evidence, GET_MODULES);
  const idle = having("not loaded");
  return idle.length > 0 ? warn(evidence, `modprobe --all ${idle.join(" ")}`) : pass(evidence);
}

function moduleState(host: Host, name: string): "loaded" | "built in" | "not loaded" | "missing" {
  const folder = `/lib/modules/${host.kernelRelease}`;
  // File names have hyphens or underscores, as the module's author liked.
  const file = new RegExp(`/${name.replaceAll("_", "[-_]")}\\.ko`, "m");
  const isListed = (list: string): boolean => file.test(host.read(`${folder}/${list}`) ?? "");
  if (isListed("modules.builtin")) return "built in";
  if (host.exists(`/sys/module/${name}`)) return "loaded";
  return isListed("modules.dep") ? "not loaded" : "missing";
}

/** Opens a container, as every command does that works on real devices. */
export function checkVfioContainer(host: Host): Check {
  const { pass, fail } = results("vfio-container");
  const state = moduleState(host, "vfio");
  if (state === "missing") return fail("the kernel has no VFIO", GET_MODULES);
  // Not tried before: to open the file would load the module.
  if (state === "not loaded") return fail("VFIO is not loaded", "modprobe vfio-pci");
  const problem = host.accessProblem(CONTAINER);
  if (problem === "EACCES")
    return fail(`${CONTAINER} may not be opened (EACCES)`, `chmod 0666 ${CONTAINER}`);
  try {
    host.addon().openVfioAddressSpace().close();
    return pass(`${CONTAINER} opens, and has the type1 IOMMU`);
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    return fail(error.message, error.hint ?? "modprobe vfio_iommu_type1");
  }
}

export function checkVfioDevices(host: Host): Check {
  const { pass, warn, fail } = results("vfio-devices");
  const owned = host.pci().functions.filter((fn) => fn.isOwnedByVfio && fn.iommuGroup !== null);
  if (owned.length === 0)
    return warn(
      "no device is bound to VFIO",
      "p2pmem list --platform vfio shows the devices, p2pmem bind BDF binds one",
    );
  const closed = owned.flatMap(({ address, iommuGroup }) => {
    const file = groupFile(iommuGroup!);
    const problem = host.accessProblem(file);
    return problem === null ? [] : [{ address, reason: `${file} (${problem})` }];
  });
  if (closed.length > 0) {
    const reasons = [...new Set(closed.map(({ reason }) => reason))];
    const addresses = closed.map(({ address }) => address).join(" ");
    return fail(
      `cannot be opened: ${reasons.join(", ")}`,
      `sudo p2pmem bind --user $(id -un) ${addresses}`,
    );
  }
  const names = owned.map((fn) => `${fn.address} (${groupFile(fn.iommuGroup!)})`);
  return pass(`${plural(owned.length, "device")}: ${names.join(", ")}`);
}

export function checkNoIommuMode(host: Host): Check {
  const { pass, warn, skip } = results("no-iommu-mode");
  if (moduleState(host, "vfio") === "not loaded") return skip("VFIO is not loaded");
  const path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  const value = host.read(path);
  if (value === null) return pass("this kernel has none");
  return value === "Y"
    ? warn("on: devices reach all of the memory, unchecked", `echo N >${path}`)
    : pass("off");
}

/** vfio_iommu_type1.c refuses devices whose interrupts are not isolated, unless told not to. */
export function checkInterruptRemapping(host: Host): Check {
  const { pass, warn, skip } = results("interrupt-remapping");
  const path = `${TYPE1_PARAMETERS}/allow_unsafe_interrupts`;
  const value = host.read(path);
  if (value === null) return skip(`no ${path}: vfio_iommu_type1 is not loaded`);
  return value === "Y"
    ? warn("VFIO takes devices without it (allow_unsafe_interrupts=Y)", `echo N >${path}`)
    : pass("VFIO insists on it (allow_unsafe_interrupts=N)");
}

export function checkDmaEntryLimit(host: Host): Check {
  const { pass, warn, skip } = results("dma-entry-limit");
  const path = `${TYPE1_PARAMETERS}/dma_entry_limit`;
  const value = host.read(path);
  if (value === null) return skip(`no ${path}: vfio_iommu_type1 is not loaded`);
  const evidence = `${value} mappings in one address space`;
  return Number(value) < DMA_ENTRY_LIMIT
    ? warn(evidence, `echo ${DMA_ENTRY_LIMIT} >${path}`)
    : pass(evidence);
}
