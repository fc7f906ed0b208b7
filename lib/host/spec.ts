/** Numbers of the kernel's interfaces that show in sysfs and procfs, and of PCI. */

/** Class and subclass of bridges to the host and to ISA or LPC, PCI Code and ID Assignment §1.7. */
export const PCI_CLASS_BRIDGE_HOST = 0x0600;
export const PCI_CLASS_BRIDGE_ISA = 0x0601;

/** linux/if.h: administratively up. */
export const IFF_UP = 1 << 0;

/** linux/capability.h, bits of CapEff in proc_pid_status(5). */
export const CAP_IPC_LOCK = 14n;

/** linux/drivers/vfio/vfio_iommu_type1.c: mappings of a container, unless set otherwise. */
export const DMA_ENTRY_LIMIT = 65535;
