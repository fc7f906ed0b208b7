/** Numbers of the kernel's interfaces that show in sysfs and procfs, and of PCI. */

/** Base class of every kind of bridge, PCI Code and ID Assignment §1.7. */
export const PCI_BASE_CLASS_BRIDGE = 0x06;

/** linux/if.h: administratively up. */
export const IFF_UP = 1 << 0;

/** linux/capability.h, bits of CapEff in proc_pid_status(5). */
export const CAP_IPC_LOCK = 14n;

/** linux/drivers/vfio/vfio_iommu_type1.c: mappings of a container, unless set otherwise. */
export const DMA_ENTRY_LIMIT = 65535;
