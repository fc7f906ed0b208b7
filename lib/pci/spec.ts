/**
 * Configuration space, as PCI Local Bus 3.0 §6 and PCI Express Base 6.0 §7 lay it out, and the
 * resource flags of linux/ioport.h.
 */

/** Configuration space without the extended one, PCI 3.0 §6.1. */
export const PCI_CONFIG_BYTES = 256;

/** Header fields, PCI 3.0 §6.1. */
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_CLASS_REVISION = 0x08;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_STD_HEADER_SIZEOF = 0x40;

/** What a read of 32 bits gives where nobody answers, PCIe 6.0 §2.3.2. */
export const PCI_NO_ANSWER = 0xffff_ffff;

export const PCI_COMMAND_MEMORY = 1 << 1;
export const PCI_STATUS_CAP_LIST = 1 << 4;
export const PCI_HEADER_TYPE_MASK = 0x7f;
export const PCI_HEADER_TYPE_BRIDGE = 1;

/**
 * Windows of a bridge (PCI-to-PCI Bridge Architecture 1.2 §3.2.5.8 to §3.2.5.10): bits 15:4 of a
 * register are bits 31:20 of an address, the low bits of the limit are ones. A base above its limit
 * is a closed window.
 */
export const PCI_MEMORY_BASE = 0x20;
export const PCI_MEMORY_LIMIT = 0x22;
export const PCI_PREF_MEMORY_BASE = 0x24;
export const PCI_PREF_MEMORY_LIMIT = 0x26;
export const PCI_PREF_BASE_UPPER32 = 0x28;
export const PCI_PREF_LIMIT_UPPER32 = 0x2c;
export const PCI_WINDOW_MASK = 0xfff0;
export const PCI_WINDOW_SHIFT = 16;
export const PCI_WINDOW_GRANULE = 1 << 20;
export const PCI_PREF_RANGE_TYPE_MASK = 0xf;
export const PCI_PREF_RANGE_TYPE_64 = 1;

/** Class codes, PCI Code and ID Assignment §1. */
export const PCI_CLASS_NVME = 0x010802;
export const PCI_CLASS_MEMORY_OTHER = 0x058000;
export const PCI_CLASS_SHIFT = 8;
export const PCI_BASE_CLASS_SHIFT = 16;
export const PCI_CLASS_INFINIBAND = 0x0c06;
export const PCI_BASE_CLASS_NETWORK = 0x02;
export const PCI_BASE_CLASS_DISPLAY = 0x03;
export const PCI_BASE_CLASS_MEMORY = 0x05;
export const PCI_BASE_CLASS_ACCELERATOR = 0x12;

/** Capability identifiers. */
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_EXT_CAP_START = 0x100;
export const PCI_EXT_CAP_ID_ACS = 0x0d;

/** MSI-X capability, PCI 3.0 §6.8.2; table entries are 16 bytes, pending bits come in 8 bytes for 64. */
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_MSIX_FLAGS = 0x02;
export const PCI_MSIX_FLAGS_QSIZE = 0x7ff;
export const PCI_MSIX_TABLE = 0x04;
export const PCI_MSIX_PBA = 0x08;
export const PCI_MSIX_BIR = 0x7;
export const PCI_MSIX_ENTRY_SIZE = 16;

/** PCI Express capabilities register, PCIe 6.0 §7.5.3.2. */
export const PCI_EXP_FLAGS = 0x02;
export const PCI_EXP_TYPE_SHIFT = 4;
export const PCI_EXP_TYPE_MASK = 0xf;

/** Device and link registers of that capability, PCIe 6.0 §7.5.3.3 to §7.5.3.8. */
export const PCI_EXP_DEVCAP = 0x04;
export const PCI_EXP_DEVCAP_PAYLOAD = 0x7;
export const PCI_EXP_DEVCTL = 0x08;
export const PCI_EXP_DEVCTL_RELAX_EN = 1 << 4;
export const PCI_EXP_DEVCTL_PAYLOAD_SHIFT = 5;
export const PCI_EXP_LNKCAP = 0x0c;
export const PCI_EXP_LNKSTA = 0x12;
export const PCI_EXP_LNK_SPEED_MASK = 0xf;
export const PCI_EXP_LNK_WIDTH_SHIFT = 4;
export const PCI_EXP_LNK_WIDTH_MASK = 0x3f;
export const PCI_EXP_LNKCAP_PORT_SHIFT = 24;

/** ACS capability and control registers, PCIe 6.0 §7.7.11.2 and §7.7.11.3: the same bits in both. */
export const PCI_ACS_CAP = 0x04;
export const PCI_ACS_CTRL = 0x06;
export const PCI_ACS_SV = 1 << 0;
export const PCI_ACS_TB = 1 << 1;
export const PCI_ACS_RR = 1 << 2;
export const PCI_ACS_CR = 1 << 3;
export const PCI_ACS_UF = 1 << 4;
export const PCI_ACS_EC = 1 << 5;
export const PCI_ACS_DT = 1 << 6;

/** Bits of the Egress Control Vector, in the capability register; 0: 256 (§7.7.11.2). */
export const PCI_ACS_EGRESS_BITS_SHIFT = 8;
export const PCI_ACS_EGRESS_BITS_MOST = 256;
/** Egress Control Vector register, §7.7.11.4. */
export const PCI_ACS_EGRESS_CTL_V = 0x08;

/** linux/ioport.h */
export const IORESOURCE_IO = 0x100n;
export const IORESOURCE_MEM = 0x200n;
export const IORESOURCE_PREFETCH = 0x2000n;
export const IORESOURCE_MEM_64 = 0x100000n;
export const IORESOURCE_DISABLED = 0x10000000n;
export const IORESOURCE_UNSET = 0x20000000n;

/** Number of BARs of a function; the ROM follows, then the windows of a bridge. */
export const BAR_COUNT = 6;
export const WINDOWS_START = BAR_COUNT + 1;

/**
 * Share of a link's bits that carries packets, by the highest speed in GT/s that it holds for:
 * 8b/10b, 128b/130b (PCIe 6.0 §4.2.2), and of a flit's 256 bytes those but CRC and FEC (§4.2.3.4.2).
 */
export const LINK_ENCODINGS: readonly { readonly upTo: number; readonly share: number }[] = [
  { upTo: 5, share: 8 / 10 },
  { upTo: 32, share: 128 / 130 },
  { upTo: 64, share: 242 / 256 },
];
