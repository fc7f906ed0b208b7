import type { RawLink } from "../platform.js";
import type { ConfigSpace } from "./config-space.js";
import * as spec from "./spec.js";

/** Device/Port Type (PCIe 6.0 §7.5.3.2). */
export type PortType =
  | "endpoint"
  | "legacy-endpoint"
  | "root-port"
  | "upstream-port"
  | "downstream-port"
  | "pcie-to-pci-bridge"
  | "pci-to-pcie-bridge"
  | "integrated-endpoint"
  | "event-collector";

const PORT_TYPES: Readonly<Record<number, PortType>> = {
  0x0: "endpoint",
  0x1: "legacy-endpoint",
  0x4: "root-port",
  0x5: "upstream-port",
  0x6: "downstream-port",
  0x7: "pcie-to-pci-bridge",
  0x8: "pci-to-pcie-bridge",
  0x9: "integrated-endpoint",
  0xa: "event-collector",
};

/** Those have link registers; what is integrated into the root complex has no link (§7.5.3). */
const WITH_LINK: ReadonlySet<PortType | null> = new Set([
  "endpoint",
  "legacy-endpoint",
  "root-port",
  "upstream-port",
  "downstream-port",
  "pcie-to-pci-bridge",
  "pci-to-pcie-bridge",
]);

/** Speeds by their code in the link registers, GT/s (PCIe 6.0 §7.5.3.6). */
const SPEEDS: readonly (number | null)[] = [null, 2.5, 5, 8, 16, 32, 64];
/** Lanes that a link can have (§7.5.3.6, §7.5.3.8). */
const WIDTHS: ReadonlySet<number> = new Set([1, 2, 4, 8, 12, 16, 32]);

/** What the PCI Express capability says of a function. */
export interface Express {
  readonly portType: PortType | null;
  /** Bytes of a packet's payload: what it can take, and what it is set to send at most. */
  readonly maxPayload: { readonly supported: number; readonly current: number };
  /** Whether it may mark its requests as Relaxed Ordering (§7.5.3.4). */
  readonly relaxedOrdering: boolean;
  /** Of a port among those of its switch or root complex (§7.5.3.6); null: it has no link. */
  readonly portNumber: number | null;
  /** Null: it has none, or its registers say nothing of it. */
  readonly link: RawLink | null;
}

/** Null for a conventional PCI function; undefined where too little could be read to say. */
export function readExpress(config: ConfigSpace): Express | null | undefined {
  const at = config.capability(spec.PCI_CAP_ID_EXP);
  if (at === null || at === undefined) return at;
  const flags = config.read16(at + spec.PCI_EXP_FLAGS);
  const capabilities = config.read32(at + spec.PCI_EXP_DEVCAP);
  const control = config.read16(at + spec.PCI_EXP_DEVCTL);
  if (flags === undefined || capabilities === undefined || control === undefined) return undefined;
  const portType = PORT_TYPES[(flags >> spec.PCI_EXP_TYPE_SHIFT) & spec.PCI_EXP_TYPE_MASK] ?? null;
  return {
    portType,
    maxPayload: {
      supported: 128 << (capabilities & spec.PCI_EXP_DEVCAP_PAYLOAD),
      current: 128 << ((control >> spec.PCI_EXP_DEVCTL_PAYLOAD_SHIFT) & 7),
    },
    relaxedOrdering: (control & spec.PCI_EXP_DEVCTL_RELAX_EN) !== 0,
    portNumber: WITH_LINK.has(portType) ? readPortNumber(config, at) : null,
    link: WITH_LINK.has(portType) ? readLink(config, at) : null,
  };
}

function readPortNumber(config: ConfigSpace, at: number): number | null {
  const capabilities = config.read32(at + spec.PCI_EXP_LNKCAP);
  return capabilities === undefined ? null : capabilities >>> spec.PCI_EXP_LNKCAP_PORT_SHIFT;
}

function readLink(config: ConfigSpace, at: number): RawLink | null {
  const now = speedAndWidth(config.read16(at + spec.PCI_EXP_LNKSTA) ?? 0);
  const most = speedAndWidth(config.read32(at + spec.PCI_EXP_LNKCAP) ?? 0);
  const link = {
    speed: now.speed,
    width: now.width,
    maxSpeed: most.speed,
    maxWidth: most.width,
  };
  return Object.values(link).every((value) => value === null) ? null : link;
}

/** Both link registers have the speed in bits 3:0 and the width in bits 9:4. */
function speedAndWidth(register: number): { speed: number | null; width: number | null } {
  const width = (register >> spec.PCI_EXP_LNK_WIDTH_SHIFT) & spec.PCI_EXP_LNK_WIDTH_MASK;
  return {
    speed: SPEEDS[register & spec.PCI_EXP_LNK_SPEED_MASK] ?? null,
    width: WIDTHS.has(width) ? width : null,
  };
}
