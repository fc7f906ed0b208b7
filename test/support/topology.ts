/**
 * Machines as a person writes them down, like `lspci -t`: one line for each function, indented below
 * the bridge above it.
 *
 *     cpu GenuineIntel 6
 *     host pci0000:16
 *       16:00.0 root 8086:2030 x16@8 acs=on
 *         17:00.0 up 10b5:9765 x16@8
 *           18:00.0 down 10b5:9765 x4@8 acs=off
 *             19:00.0 endpoint 144d:a822 nvme x4@8
 *
 * `cpu -`: not known. `iommu off`: no IOMMU groups. `cut`: configuration space as users other than root
 * get it, 64 bytes. `host NAME in BDF`: part of a function, as with Intel VMD. A link is written at both
 * its ends, WIDTH@SPEED in GT/s; none: the registers give no value. `acs=off`: the capability with
 * nothing on; `acs=on`: as the kernel sets it where there is an IOMMU; or its controls by name. `egress=1+4`: bits of its Egress Control Vector, which has 32; a
 * port's number is its device number. `of=BDF`: the physical function of a virtual one.
 */
import type { CpuIdentity, RawPciFunction, RawTopology } from "#lib/platform.js";

export const KINDS = {
  endpoint: 0x0,
  root: 0x4,
  up: 0x5,
  down: 0x6,
  "pci-bridge": 0x7,
  integrated: 0x9,
  conventional: null,
} as const;
export type Kind = keyof typeof KINDS;

const CLASSES: Readonly<Record<string, number>> = {
  nvme: 0x010802,
  nic: 0x020000,
  gpu: 0x030000,
  audio: 0x040300,
  memory: 0x058000,
  host: 0x060000,
  system: 0x088000,
  accelerator: 0x120000,
};

/** ACS controls by their bit (PCIe 6.0 §7.7.11.3). */
export const ACS_CONTROLS = ["sv", "tb", "rr", "cr", "uf", "ec", "dt"] as const;
export type AcsControl = (typeof ACS_CONTROLS)[number];
const ACS_WORDS: Readonly<Record<string, readonly AcsControl[]>> = {
  off: [],
  on: ["sv", "rr", "cr", "uf"],
};

export interface DescribedFunction {
  address: string;
  parent: string | null;
  host: string;
  within: string | null;
  kind: Kind;
  vendorId: number;
  deviceId: number;
  classCode: number;
  link: { width: number; speed: number } | null;
  /** Null: no such capability. */
  acs: readonly AcsControl[] | null;
  /** Bits of the Egress Control Vector. */
  egress: readonly number[];
  of: string | null;
}

export interface DescribedMachine {
  cpu: CpuIdentity | null;
  hasIommu: boolean;
  /** Only 64 bytes of configuration space. */
  isCut: boolean;
  functions: DescribedFunction[];
}

export function parseMachine(text: string): DescribedMachine {
  const machine: DescribedMachine = { cpu: null, hasIommu: true, isCut: false, functions: [] };
  let host = { name: "", within: null as string | null };
  const above: DescribedFunction[] = [];
  for (const line of text.split("\n")) {
    const words = line.split("#")[0]!.trim().split(/\s+/);
    const [first = "", second = "", third = "", fourth] = words;
    if (first === "") continue;
    if (first === "cpu")
      machine.cpu =
        second === "-"
          ? null
          : { vendor: second, family: Number(third), model: words.slice(3).join(" ") };
    else if (first === "iommu") machine.hasIommu = second !== "off";
    else if (first === "cut") machine.isCut = true;
    else if (first === "host") host = { name: second, within: fourth ?? null };
    else {
      const depth = line.search(/\S/) / 2 - 1;
      above.length = depth;
      const fn = parseFunction(words, host, above[depth - 1]);
      above.push(fn);
      machine.functions.push(fn);
    }
  }
  return machine;
}

function parseFunction(
  [address = "", kind = "", ids = "", ...rest]: string[],
  { name, within }: { name: string; within: string | null },
  parent: DescribedFunction | undefined,
): DescribedFunction {
  const domain = name.slice("pci".length).split(":")[0]!;
  if (!(kind in KINDS)) throw new Error(`no kind of function "${kind}"`);
  const [vendorId = NaN, deviceId = NaN] = ids.split(":").map((id) => parseInt(id, 16));
  const fn: DescribedFunction = {
    address: `${domain}:${address}`,
    parent: parent?.address ?? null,
    ...{ host: name, within, kind: kind as Kind, vendorId, deviceId },
    classCode: isBridge(kind as Kind) ? 0x060400 : CLASSES.nvme!,
    ...{ link: null, acs: null, egress: [], of: null },
  };
  for (const word of rest) {
    const link = /^x(\d+)@([\d.]+)$/.exec(word);
    if (link) fn.link = { width: Number(link[1]), speed: Number(link[2]) };
    else if (word.startsWith("acs=")) fn.acs = parseAcs(word.slice(4));
    else if (word.startsWith("egress=")) fn.egress = word.slice(7).split("+").map(Number);
    else if (word.startsWith("of=")) fn.of = `${domain}:${word.slice(3)}`;
    else if (CLASSES[word] !== undefined) fn.classCode = CLASSES[word];
    else throw new Error(`what is "${word}" of ${address}?`);
  }
  return fn;
}

function parseAcs(text: string): readonly AcsControl[] {
  return ACS_WORDS[text] ?? (text.split("+") as AcsControl[]);
}

export function isBridge(kind: Kind): boolean {
  return ["root", "up", "down", "pci-bridge"].includes(kind);
}

/** The machine as a platform reads it, with true bytes of configuration space. */
export function rawTopology(machine: DescribedMachine): RawTopology {
  const functions = machine.functions.map((fn, index) => rawFunction(machine, fn, index));
  return { functions, cpu: machine.cpu };
}

function rawFunction(
  { functions, hasIommu, isCut }: DescribedMachine,
  fn: DescribedFunction,
  index: number,
): RawPciFunction {
  const { link } = fn;
  return {
    ...{ address: fn.address, parent: fn.parent, vendorId: fn.vendorId, deviceId: fn.deviceId },
    ...{ hostBridge: fn.host, hostBridgeParent: fn.within, physicalFunction: fn.of },
    config: configSpace(fn, functions).subarray(0, isCut ? 64 : 4096),
    ...{ resources: [], driver: null, numaNode: null },
    // Which functions share a group does not matter here, only whether there is one.
    iommuGroup: hasIommu ? index : null,
    iommuDomainType: hasIommu ? "DMA" : null,
    // The kernel reads the registers for everybody, but not those of virtual functions.
    link:
      isCut && link && fn.of === null
        ? { ...link, maxSpeed: link.speed, maxWidth: link.width }
        : null,
  };
}

const EXPRESS = 0x60;
const SPEEDS = [0, 2.5, 5, 8, 16, 32, 64];

/** Header, MSI and PCI Express capabilities, AER and ACS: PCIe 6.0 §7.5 to §7.7. */
function configSpace(fn: DescribedFunction, functions: readonly DescribedFunction[]): Uint8Array {
  const type = KINDS[fn.kind];
  const config = new DataView(new ArrayBuffer(type === null ? 256 : 4096));
  const isVirtual = fn.of !== null;
  config.setUint16(0x00, isVirtual ? 0xffff : fn.vendorId, true);
  config.setUint16(0x02, isVirtual ? 0xffff : fn.deviceId, true);
  config.setUint16(0x06, 0x10, true);
  config.setUint32(0x08, fn.classCode * 256, true);
  config.setUint8(0x0e, headerType(fn, functions));
  if (isBridge(fn.kind)) writeBusNumbers(config, fn, functions);
  config.setUint8(0x34, 0x40);
  config.setUint16(0x40, 0x05 | ((type === null ? 0 : EXPRESS) << 8), true);
  if (type === null) return new Uint8Array(config.buffer);
  config.setUint16(EXPRESS, 0x10, true);
  config.setUint16(EXPRESS + 0x02, 2 | (type << 4), true);
  config.setUint32(EXPRESS + 0x04, 1, true); // payload of 256 bytes
  config.setUint16(EXPRESS + 0x08, 0x10 | (1 << 5), true);
  const { width = 0, speed = 0 } = fn.link ?? {};
  const number = parseInt(fn.address.slice(-4), 16) * 2 ** 24;
  config.setUint32(EXPRESS + 0x0c, number + ((width << 4) | SPEEDS.indexOf(speed)), true);
  config.setUint16(EXPRESS + 0x12, isVirtual ? 0 : (width << 4) | SPEEDS.indexOf(speed), true);
  config.setUint32(0x100, 0x0001 | (2 << 16) | ((fn.acs ? 0x140 : 0) << 20), true);
  if (fn.acs) {
    config.setUint32(0x140, 0x000d | (1 << 16), true);
    config.setUint16(0x144, 0x7f | (32 << 8), true);
    for (const bit of fn.egress)
      config.setUint8(0x148 + (bit >> 3), config.getUint8(0x148 + (bit >> 3)) | (1 << (bit & 7)));
    const bits = fn.acs.map((control) => 1 << ACS_CONTROLS.indexOf(control));
    config.setUint16(
      0x146,
      bits.reduce((sum, bit) => sum | bit, 0),
      true,
    );
  }
  return new Uint8Array(config.buffer);
}

function headerType(fn: DescribedFunction, functions: readonly DescribedFunction[]): number {
  const device = fn.address.slice(0, -1);
  const hasSiblings = functions.filter(({ address }) => address.startsWith(device)).length > 1;
  return (isBridge(fn.kind) ? 1 : 0) | (hasSiblings ? 0x80 : 0);
}

/** Primary, secondary and subordinate bus: what is below, by its addresses. */
function writeBusNumbers(
  config: DataView,
  { address }: DescribedFunction,
  functions: readonly DescribedFunction[],
): void {
  const busOf = (bdf: string): number => parseInt(bdf.split(":")[1]!, 16);
  const below: number[] = [];
  const inside = new Set([address]);
  for (const fn of functions)
    if (fn.parent !== null && inside.has(fn.parent)) {
      inside.add(fn.address);
      below.push(busOf(fn.address));
    }
  config.setUint8(0x18, busOf(address));
  config.setUint8(0x19, below.length === 0 ? 0 : Math.min(...below));
  config.setUint8(0x1a, below.length === 0 ? 0 : Math.max(...below));
}
