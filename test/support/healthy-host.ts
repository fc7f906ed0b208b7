import type { NativeAddon } from "#lib/addon.js";
import { FakeHost } from "./fake-host.js";

export const RELEASE = "7.1.0-test";
export const TYPE1 = "/sys/module/vfio_iommu_type1/parameters";
export const RDMA = "/sys/class/infiniband";
export const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/** A machine on which nothing is wrong: two devices of VFIO's below a switch that does not redirect. */
export function healthyHost(): FakeHost {
  const host = new FakeHost();
  host.directory("/sys/class/iommu/dmar0");
  host.file("/proc/cmdline", "root=/dev/sda1 quiet intel_iommu=on\n");
  host.file("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n");
  host.file("/proc/self/status", "CapEff:\t0000000000000000\n");
  host.file("/proc/self/limits", "Max locked memory         unlimited  unlimited  bytes\n");
  host.file("/proc/interrupts", "  1:  0  IR-IO-APIC    1-edge  i8042\n");
  for (const name of ["vfio", "vfio_iommu_type1", "vfio_pci"])
    host.directory(`/sys/module/${name}`);
  host.file(`${TYPE1}/allow_unsafe_interrupts`, "N\n");
  host.file(`${TYPE1}/dma_entry_limit`, "65535\n");
  host.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
  host.file(`${POOL}/nr_hugepages`, "32\n");
  host.file(`${POOL}/free_hugepages`, "30\n");
  host.file(
    `/boot/config-${RELEASE}`,
    "CONFIG_VFIO_PCI_DMABUF=y\nCONFIG_PCI_P2PDMA=y\nCONFIG_IOMMUFD=m\n",
  );
  host.file("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
  for (const file of ["/dev/vfio/vfio", "/dev/iommu", "/dev/kmsg"]) host.file(file, "");
  host.file(`${RDMA}/mlx5_0/ports/1/state`, "4: ACTIVE\n");
  host.directory("/sys/class/infiniband_verbs/uverbs0");
  host.file("/dev/infiniband/uverbs0", "");
  const space = { close: () => undefined };
  const native = { openVfioAddressSpace: () => space, verbsDevices: () => ["mlx5_0"] };
  host.nativeAddon = () => native as unknown as NativeAddon;
  addSwitch(host, 0);
  return host;
}

/** Root port 1 with upstream port 2, downstream ports 3 and 4, and a device of VFIO's below each. */
export function addSwitch(host: FakeHost, acs: number, configBytes = 4096): void {
  const bridge = { isBridge: true, classCode: 0x060400, driver: "pcieport", acs, configBytes };
  host.pciFunction({ ...bridge, address: "0000:00:01.0", iommuGroup: 1 });
  const up = "0000:01:00.0";
  host.pciFunction({ ...bridge, address: up, parent: "0000:00:01.0", iommuGroup: 2 });
  ["0000:02:00.0", "0000:02:01.0"].forEach((address, index) => {
    const parent = `0000:00:01.0/${up}`;
    host.pciFunction({ ...bridge, address, parent, iommuGroup: 3 + index });
    host.pciFunction({
      ...{ address: `0000:0${3 + index}:00.0`, parent: `${parent}/${address}`, configBytes },
      ...{ driver: "vfio-pci", iommuGroup: 3 + index },
    });
  });
}
