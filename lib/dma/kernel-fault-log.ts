import { closeSync, constants, openSync, readSync } from "node:fs";
import type { NativeDmaFault } from "../addon.js";

/**
 * Intel: linux/drivers/iommu/intel/dmar.c, dmar_fault_do_one():
 * `DMAR: [DMA Write NO_PASID] Request device [03:00.0] fault addr 0x1000 [fault reason 0x05] text`
 */
const DMAR =
  /DMAR: \[DMA (Read|Write)[^\]]*\] Request device \[([0-9a-f:.]+)\] .*?fault addr (0x[0-9a-f]+) \[fault reason (?:0x)?[0-9a-f]+\] (.*)/i;
/**
 * AMD: linux/drivers/iommu/amd/iommu.c, amd_iommu_report_page_fault():
 * `vfio-pci 0000:03:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x1000 flags=0x0020]`
 * Bit 5 of the flags: a write (AMD I/O Virtualization Technology §2.5.3).
 */
const AMD =
  /(?:([0-9a-f:.]+): )?AMD-Vi: Event logged \[IO_PAGE_FAULT (?:device=([0-9a-f:.]+) )?.*?address=(0x[0-9a-f]+) flags=(0x[0-9a-f]+)\]/i;
const AMD_FLAG_WRITE = 0x20;

/**
 * IOMMU faults, read from the kernel's log: VFIO itself does not report them. The kernel limits
 * their rate, and hardware merges repeated ones, so fewer may show up than happened.
 */
export class KernelFaultLog {
  #fd: number | null;

  constructor() {
    try {
      this.#fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      this.#fd = null; // kernel.dmesg_restrict without CAP_SYSLOG
    }
    this.take(); // what is there already is somebody else's
  }

  /** New faults, oldest first; null where the log may not be read. */
  take(): NativeDmaFault[] | null {
    if (this.#fd === null) return null;
    const record = Buffer.alloc(8192); // the kernel gives one whole record a read
    const faults: NativeDmaFault[] = [];
    for (;;) {
      try {
        const length = readSync(this.#fd, record);
        const fault = parseFault(record.toString("utf8", 0, length));
        if (fault) faults.push(fault);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EPIPE") continue; // overwritten before it was read; goes on with the next
        if (code === "EAGAIN") return faults;
        // Not readable after all, as in some containers.
        this.close();
        return null;
      }
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}

/** One log line; null if it is about something else. */
export function parseFault(line: string): NativeDmaFault | null {
  const intel = DMAR.exec(line);
  if (intel) {
    const [, direction, device = "", iova = "0", reason = ""] = intel;
    return {
      device: withDomain(device),
      iova: BigInt(iova),
      write: direction?.toLowerCase() === "write",
      reason: reason.trim(),
    };
  }
  const amd = AMD.exec(line);
  if (!amd) return null;
  const [, prefix, device = prefix ?? "", iova = "0", flags = "0"] = amd;
  return {
    device: withDomain(device),
    iova: BigInt(iova),
    write: (Number(flags) & AMD_FLAG_WRITE) !== 0,
    reason: `IO_PAGE_FAULT flags ${flags}`,
  };
}

function withDomain(device: string): string {
  return device.split(":").length === 2 ? `0000:${device}` : device;
}
