/**
 * Root complexes that are known to hand requests from one root port to another: what
 * linux/drivers/pci/p2pdma.c goes by (cpu_supports_p2pdma, pci_p2pdma_whitelist), as of Linux 7.3.
 */
import type { PciFunction } from "./function.js";
import type { HostBridge } from "./host-bridge.js";
import type { CpuIdentity } from "../platform.js";
import type { PciTree } from "./tree.js";
import { unreadCause } from "./unread.js";

/** A processor whose root complex forwards, whatever its host bridges are. */
interface ProcessorRule {
  readonly name: string;
  readonly vendor: string;
  readonly minFamily: number;
}

/** Host bridges, by vendor and device ID of their root function; no device IDs: all of the vendor's. */
interface HostBridgeRule {
  readonly name: string;
  readonly vendorId: number;
  readonly deviceIds: readonly number[] | null;
  /** Forwards between its own root ports only, not to another host bridge. */
  readonly within?: true;
}

const INTEL = 0x8086;

// prettier-ignore
export const FORWARDERS: readonly (ProcessorRule | HostBridgeRule)[] = [
  // cpu_supports_p2pdma(). Hygon's, which descend from family 17h, are another vendor's and not meant.
  { name: "AMD Zen and later", vendor: "AuthenticAMD", minFamily: 0x17 },
  // pci_p2pdma_whitelist[]: REQ_SAME_HOST_BRIDGE
  { name: "Intel Xeon E5", vendorId: INTEL, deviceIds: [0x3c00, 0x3c01], within: true },
  { name: "Intel Xeon E7 v3, E5 v3", vendorId: INTEL, deviceIds: [0x2f00, 0x2f01], within: true },
  // pci_p2pdma_whitelist[]: without flags
  { name: "Intel Skylake-E", vendorId: INTEL, deviceIds: [0x2030, 0x2031, 0x2032, 0x2033, 0x2020] },
  { name: "Intel Ice Lake-X and later", vendorId: INTEL, deviceIds: [0x09a2] },
  { name: "Google", vendorId: 0x1ae0, deviceIds: null },
  { name: "NVIDIA", vendorId: 0x10de, deviceIds: [0x2f95, 0x2f96, 0x2f97, 0x2f98] },
  // pci_p2pdma_whitelist[]: accelerators with a root bus of their own; IDs also in drivers/dma/idxd
  { name: "Intel DSA", vendorId: INTEL, deviceIds: [0x0b25] },
  { name: "Intel IAX", vendorId: INTEL, deviceIds: [0x0cfe] },
  { name: "Intel DSA of Granite Rapids-D, Diamond Rapids", vendorId: INTEL, deviceIds: [0x11fb, 0x1212] },
  { name: "Intel IAA of Diamond Rapids", vendorId: INTEL, deviceIds: [0x1216] },
  // The same; IDs also in drivers/crypto/intel/qat
  { name: "Intel QAT", vendorId: INTEL, deviceIds: [0x4940, 0x4942, 0x4944, 0x4946, 0x4948] },
];

const PROCESSORS = FORWARDERS.filter((rule) => "minFamily" in rule);
const HOST_BRIDGES = FORWARDERS.filter((rule) => "vendorId" in rule);

/** The way through the root complex from one function to another. */
export class RootComplexWay {
  readonly first: HostBridge;
  readonly second: HostBridge;
  /** Whether it hands requests on there; undefined: not known. */
  readonly forwards: boolean | undefined;
  readonly #cpu: CpuIdentity | null;

  constructor(tree: PciTree, from: PciFunction, to: PciFunction) {
    this.#cpu = tree.cpu;
    this.first = tree.hostBridgeOf(from);
    this.second = tree.hostBridgeOf(to);
    this.forwards = processorForwards(tree.cpu) || this.#listed();
  }

  /** Why: the processor, or the host bridges that are on the kernel's list, or the first that is not. */
  get reason(): string {
    const cpu = this.#cpu;
    if (cpu !== null && processorForwards(cpu))
      return `${cpu.vendor} family ${cpu.family.toString(16)}h forwards between its root ports`;
    const isOne = this.first === this.second;
    const bridges = isOne ? [this.first] : [this.first, this.second];
    const refusing = bridges.find((bridge) => isListed(bridge, isOne) === false);
    if (refusing !== undefined)
      return refusalWords(refusing) + (cpu === null ? ", and the processor is not known" : "");
    const unread = bridges.find((bridge) => isListed(bridge, isOne) === undefined);
    if (unread !== undefined)
      return `whether host bridge ${nameOf(unread)} forwards is not known: ${rootUnreadCause(unread)}`;
    return isOne
      ? `host bridge ${nameOf(this.first)} is on the kernel's list`
      : `host bridges ${bridges.map(nameOf).join(" and ")} are on the kernel's list`;
  }

  #listed(): boolean | undefined {
    const isOne = this.first === this.second;
    const first = isListed(this.first, isOne);
    const second = isOne ? first : isListed(this.second, isOne);
    if (first === true && second === true) return true;
    // An unknown processor may be one that forwards, whatever the list has.
    return (first === false || second === false) && this.#cpu !== null ? false : undefined;
  }
}

function processorForwards(cpu: CpuIdentity | null): boolean {
  return (
    cpu !== null &&
    PROCESSORS.some(({ vendor, minFamily }) => cpu.vendor === vendor && cpu.family >= minFamily)
  );
}

/** Whether the list has it; `isOne`: for requests that stay within it. Undefined: not known. */
function isListed(bridge: HostBridge, isOne: boolean): boolean | undefined {
  let entry = entries.get(bridge);
  if (entry === undefined) {
    const [first] = bridge.functions;
    const rule = first && ruleOf(first);
    entry = { within: rule?.within === true, isRoot: first && rule ? isRoot(first) : false };
    entries.set(bridge, entry);
  }
  return entry.within && !isOne ? false : entry.isRoot;
}

/** What the list has for a host bridge, which a matrix of all pairs asks for again and again. */
const entries = new WeakMap<HostBridge, { within: boolean; isRoot: boolean | undefined }>();

function ruleOf(first: PciFunction): HostBridgeRule | undefined {
  return HOST_BRIDGES.find(
    ({ vendorId, deviceIds }) =>
      vendorId === first.vendorId && (deviceIds === null || deviceIds.includes(first.deviceId)),
  );
}

/** Whether the first function on a root bus stands for its host bridge (pci_host_bridge_dev). */
function isRoot({ address, express }: PciFunction): boolean | undefined {
  if (address.endsWith(":00.0")) return true;
  return express === undefined ? undefined : express?.portType === "root-port";
}

function rootUnreadCause({ functions: [first] }: HostBridge): string {
  return first === undefined ? "nothing is on its bus" : unreadCause(first);
}

function refusalWords(bridge: HostBridge): string {
  const [first] = bridge.functions;
  if (first === undefined || isRoot(first) === false)
    return `host bridge ${bridge.name} is not known to forward: ${first?.address ?? "nothing"} is first on its bus, neither device 00.0 nor a root port`;
  return ruleOf(first)?.within === true
    ? `host bridge ${nameOf(bridge)} is known to forward between its own root ports only`
    : `host bridge ${nameOf(bridge)} is not known to forward`;
}

/** `pci0000:16 (8086:09a2, Intel Ice Lake-X and later)` */
function nameOf({ name, functions: [first] }: HostBridge): string {
  if (first === undefined) return name;
  const rule = ruleOf(first);
  const ids = `${hex4(first.vendorId)}:${hex4(first.deviceId)}`;
  return `${name} (${ids}${rule ? `, ${rule.name}` : ""})`;
}

function hex4(id: number): string {
  return id.toString(16).padStart(4, "0");
}
