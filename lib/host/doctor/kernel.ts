import { constants } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Host } from "../host.js";
import { type Check, results } from "./check.js";
import { compareVersions } from "./software.js";

/** The kernel that brought VFIO's export of BARs as dma-bufs. */
const DMA_BUF_SINCE = "6.19";

/** VFIO's newer interface, beside the containers. */
export function checkIommufd(host: Host): Check {
  const { pass, warn, skip } = results("iommufd");
  const problem = host.accessProblem("/dev/iommu");
  if (problem === null) return pass("/dev/iommu may be opened");
  if (problem !== "ENOENT")
    return warn(`/dev/iommu cannot be opened (${problem})`, 'sudo chown "$(id -un)" /dev/iommu');
  const option = kernelOption(host, "CONFIG_IOMMUFD");
  if (option === null) return skip(`no /dev/iommu, and ${CONFIG_UNKNOWN}`);
  if (option === "n")
    return warn(
      "no /dev/iommu: this kernel is built without it",
      "boot a kernel with CONFIG_IOMMUFD",
    );
  return option === "y" || host.exists("/sys/module/iommufd")
    ? warn("no /dev/iommu, although the kernel has it: is this a container?", "give it /dev/iommu")
    : warn("/dev/iommu is missing: not loaded", "sudo modprobe iommufd");
}

/** Needed to give a BAR to an RDMA device, and to iommufd; type1 does without. */
export function checkDmaBufExport(host: Host): Check {
  const { pass, warn, skip } = results("dma-buf-export");
  const kernel = `kernel ${host.kernelRelease}`;
  const fix = `boot a kernel ${DMA_BUF_SINCE} or later with CONFIG_VFIO_PCI_DMABUF`;
  if (compareVersions(host.kernelRelease, DMA_BUF_SINCE) < 0) return warn(kernel, fix);
  const option = kernelOption(host, "CONFIG_VFIO_PCI_DMABUF");
  if (option === null) return skip(`${kernel}, but ${CONFIG_UNKNOWN}`);
  return option === "n"
    ? warn(`${kernel}, without CONFIG_VFIO_PCI_DMABUF`, fix)
    : pass(`${kernel}, with CONFIG_VFIO_PCI_DMABUF`);
}

/** What kernel drivers copy between devices with; VFIO does not need it. */
export function checkP2pdma(host: Host): Check {
  const { pass, warn, skip } = results("p2pdma");
  const devices = "/sys/bus/pci/devices";
  const provider = host.list(devices).find((name) => host.exists(`${devices}/${name}/p2pmem`));
  if (provider !== undefined) return pass(`${provider} provides memory`);
  const option = kernelOption(host, "CONFIG_PCI_P2PDMA");
  if (option === null) return skip(CONFIG_UNKNOWN);
  return option === "n"
    ? warn("this kernel is built without it", "boot a kernel with CONFIG_PCI_P2PDMA")
    : pass("CONFIG_PCI_P2PDMA");
}

/** VFIO does not report what an IOMMU blocks: only the kernel's log does. */
export function checkKernelLog(host: Host): Check {
  const { pass, warn } = results("kernel-log");
  const code = host.tryOpen("/dev/kmsg", constants.O_RDONLY);
  if (code === null) return pass("/dev/kmsg opens: DMA faults will be seen");
  const fixes: Record<string, string> = {
    ENOENT: "sudo mknod /dev/kmsg c 1 11",
    EACCES: "sudo chmod a+r /dev/kmsg",
  };
  return warn(
    `/dev/kmsg cannot be read (${code}): DMA faults will not be seen`,
    fixes[code] ?? "sudo sysctl kernel.dmesg_restrict=0",
  );
}

/** kernel_lockdown(7); VFIO is not concerned. */
export function checkLockdown(host: Host): Check {
  const { pass, warn, skip } = results("lockdown");
  const path = "/sys/kernel/security/lockdown";
  const text = host.read(path);
  if (text === null) return skip(`no ${path}`);
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? text;
  if (mode === "none") return pass("none");
  const more = mode === "confidentiality" ? ", kernel memory and its tracing" : "";
  return warn(
    `${mode}: forbids setpci, BARs mapped through sysfs, unsigned modules${more}; not VFIO`,
    "switch Secure Boot off in the firmware setup, and take lockdown= off the kernel command line",
  );
}

const CONFIG_UNKNOWN = "the kernel's configuration is neither in /boot, /lib/modules nor /proc";

/** How an option of the running kernel is set; null where that cannot be read. */
function kernelOption(host: Host, option: string): "y" | "m" | "n" | null {
  const config = kernelConfig(host);
  if (config === null) return null;
  const value = new RegExp(`^${option}=([ym])$`, "m").exec(config)?.[1];
  return (value as "y" | "m" | undefined) ?? "n";
}

function kernelConfig(host: Host): string | null {
  const release = host.kernelRelease;
  const text =
    host.read(`/boot/config-${release}`) ??
    host.read(`/lib/modules/${release}/config`) ??
    host.read(`/lib/modules/${release}/build/.config`);
  if (text !== null) return text;
  const packed = host.readBytes("/proc/config.gz");
  return packed === null ? null : gunzipSync(packed).toString("utf8");
}
