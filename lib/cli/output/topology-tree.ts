import type { Acs } from "../../pci/acs.js";
import { className } from "../../pci/class-names.js";
import type { PortType } from "../../pci/express.js";
import type { PciFunction } from "../../pci/function.js";
import * as spec from "../../pci/spec.js";
import type { PciTree } from "../../pci/tree.js";
import type { RawLink } from "../../platform.js";
import { counted, formatSize } from "../../units.js";
import { wrap, wrapWords } from "./text.js";

const UNKNOWN = "?";

/** What says more than the class code, which all bridges share. */
const PORT_NAMES: Partial<Record<PortType, string>> = {
  "root-port": "root port",
  "upstream-port": "switch upstream port",
  "downstream-port": "switch downstream port",
  "pcie-to-pci-bridge": "PCIe to PCI bridge",
  "pci-to-pcie-bridge": "PCI to PCIe bridge",
};

const ACS_BITS: readonly (readonly [string, number])[] = [
  ["sv", spec.PCI_ACS_SV],
  ["tb", spec.PCI_ACS_TB],
  ["rr", spec.PCI_ACS_RR],
  ["cr", spec.PCI_ACS_CR],
  ["uf", spec.PCI_ACS_UF],
  ["ec", spec.PCI_ACS_EC],
  ["dt", spec.PCI_ACS_DT],
];

/** The bits of an ACS register by the names that machine files have for them. */
export function acsBits(register: number): string[] {
  return ACS_BITS.filter(([, bit]) => (register & bit) !== 0).map(([name]) => name);
}

/** Host bridges and all below them, as lspci -t draws it, two or more lines for each function. */
export function treeLines(tree: PciTree): string[] {
  if (tree.functions.length === 0) return ["no PCI devices"];
  const children = new Map<PciFunction, PciFunction[]>();
  for (const fn of tree.functions) {
    if (fn.parent === null) continue;
    const siblings = children.get(fn.parent);
    if (siblings === undefined) children.set(fn.parent, [fn]);
    else siblings.push(fn);
  }
  return [
    ...tree.hostBridges.flatMap(({ name, within, functions }) => [
      within === null ? name : `${name}, part of ${within}`,
      ...branch(functions, children, ""),
    ]),
    ...remarks(tree),
  ];
}

function branch(
  functions: readonly PciFunction[],
  children: ReadonlyMap<PciFunction, readonly PciFunction[]>,
  prefix: string,
): string[] {
  return functions.flatMap((fn, index) => {
    const last = index === functions.length - 1;
    const below = children.get(fn) ?? [];
    const indent = `${prefix}${last ? "   " : "|  "}`;
    const rest = `${indent}${below.length > 0 ? "|" : " "}`.padEnd(indent.length + 14);
    const layout = { rest, separator: ", " };
    return [
      ...wrap(identity(fn), { first: `${prefix}${last ? "\\- " : "+- "}`, ...layout }),
      ...(facts(fn).length > 0 ? wrap(facts(fn), { first: rest, ...layout }) : []),
      ...branch(below, children, indent),
    ];
  });
}

function identity(fn: PciFunction): string[] {
  const ids = `${hex4(fn.vendorId)}:${hex4(fn.deviceId)}`;
  return [
    `${fn.address}  ${ids} ${fn.answers ? kindName(fn) : "does not answer"}`,
    ...(fn.physicalFunction === null ? [] : [`virtual function of ${fn.physicalFunction}`]),
    fn.driver ?? "no driver",
    fn.iommuGroup === null ? "no IOMMU group" : `group ${fn.iommuGroup}`,
    ...(fn.iommu === "passes" ? ["IOMMU passes"] : []),
    ...(fn.numaNode === null ? [] : [`node ${fn.numaNode}`]),
  ];
}

function facts(fn: PciFunction): string[] {
  return [
    ...(fn.link === null ? [] : [linkText(fn.link)]),
    ...expressFacts(fn),
    ...acsFacts(fn.acs, fn.isBridge),
    ...fn.bars
      .filter((bar) => bar !== null)
      .map(({ index, size, prefetchable }) => barText(index, size, prefetchable ? " pref" : "")),
    ...fn.unassignedBars.map(({ index, size }) => barText(index, size, " without an address")),
  ];
}

function expressFacts({ express, isBridge }: PciFunction): string[] {
  if (express === null) return [];
  if (express === undefined) return [`MPS ${UNKNOWN}`];
  const { maxPayload, relaxedOrdering } = express;
  return [
    `MPS ${ofMost(maxPayload.current, maxPayload.supported)}`,
    ...(isBridge ? [] : [relaxedOrdering ? "RO+" : "RO-"]),
  ];
}

function acsFacts(acs: Acs | null | undefined, isBridge: boolean): string[] {
  if (acs === undefined) return [`ACS ${UNKNOWN}`];
  if (acs === null) return isBridge ? ["no ACS"] : [];
  return [`ACS ${acsBits(acs.control).join(" ") || "off"}`];
}

/** `8 of 16 GT/s x4 of x8`: what it runs at, of what it could, where that is more. */
function linkText({ speed, width, maxSpeed, maxWidth }: RawLink): string {
  // A port below which nothing is has no width, only what it could have.
  if (width === null && maxWidth !== null)
    return `no link of ${maxSpeed ?? UNKNOWN} GT/s x${maxWidth}`;
  const lanes = (count: number | null): string | null => (count === null ? null : `x${count}`);
  return `${ofMost(speed, maxSpeed)} GT/s ${ofMost(lanes(width), lanes(maxWidth))}`;
}

function ofMost(now: number | string | null, most: number | string | null): string {
  return most === null || now === most ? `${now ?? UNKNOWN}` : `${now ?? UNKNOWN} of ${most}`;
}

function barText(index: number, size: number, remark: string): string {
  return `BAR${index} ${formatSize(size)}${remark}`;
}

export function kindName(fn: PciFunction): string {
  return PORT_NAMES[fn.express?.portType ?? "endpoint"] ?? className(fn.classCode);
}

function hex4(id: number): string {
  return id.toString(16).padStart(4, "0");
}

/** Why something is shown as not known. */
function remarks({ functions }: PciTree): string[] {
  const count = (test: (fn: PciFunction) => boolean): number => functions.filter(test).length;
  const silent = count((fn) => !fn.answers);
  const cut = count((fn) => fn.answers && fn.express === undefined);
  const unextended = count((fn) => fn.answers && fn.express !== undefined && fn.acs === undefined);
  return [
    ...(cut > 0
      ? [
          `Only ${spec.PCI_STD_HEADER_SIZEOF} bytes of configuration space could be read of ` +
            `${counted(cut, "function")}, so ${UNKNOWN} stands for what lies beyond: run as root.`,
        ]
      : []),
    ...(unextended > 0
      ? [
          `Extended configuration space of ${counted(unextended, "function")} is out of reach here, also for ` +
            `the kernel, so their ACS is not known.`,
        ]
      : []),
    ...(silent > 0
      ? [`No answer from ${counted(silent, "function")}: in reset, without power, or gone.`]
      : []),
  ].flatMap((text) => ["", ...wrapWords(text, "", "")]);
}
