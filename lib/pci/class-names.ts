/** Names of class codes, from the narrowest that is known: PCI Code and ID Assignment §1. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["0101", "IDE controller"],
  ["0104", "RAID controller"],
  ["0106", "SATA controller"],
  ["0107", "SAS controller"],
  ["0108", "flash controller"],
  ["010802", "NVMe controller"],
  ["01", "storage controller"],
  ["0200", "Ethernet controller"],
  ["0207", "InfiniBand controller"],
  ["02", "network controller"],
  ["0300", "VGA controller"],
  ["0302", "3D controller"],
  ["03", "display controller"],
  ["04", "multimedia device"],
  ["0500", "RAM"],
  ["0502", "CXL memory"],
  ["05", "memory controller"],
  ["0600", "host bridge"],
  ["0601", "ISA bridge"],
  ["0604", "PCI bridge"],
  ["06", "bridge"],
  ["07", "communication controller"],
  ["0806", "IOMMU"],
  ["08", "system peripheral"],
  ["0b40", "co-processor"],
  ["0b", "processor"],
  ["0c03", "USB controller"],
  ["0c05", "SMBus"],
  ["0c06", "InfiniBand controller"],
  ["0c", "serial bus controller"],
  ["0d", "wireless controller"],
  ["10", "encryption controller"],
  ["11", "signal processing controller"],
  ["12", "processing accelerator"],
]);

/** A 24-bit class code in words; codes without a name as the six digits that they are. */
export function className(classCode: number): string {
  const digits = classCode.toString(16).padStart(6, "0");
  for (const length of [6, 4, 2]) {
    const name = NAMES.get(digits.slice(0, length));
    if (name !== undefined) return name;
  }
  return `class ${digits}`;
}
