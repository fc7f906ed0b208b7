/** What `identify` writes for a person: a line for each field, at most 100 columns wide. */
import { CONTROLLER_FIELDS } from "../../nvme/admin/controller-fields.js";
import {
  decodeBits,
  type BitFields,
  type Field,
  type FieldTable,
} from "../../nvme/admin/fields.js";
import { formatInUse, type ControllerIdentity } from "../../nvme/admin/identify.js";
import { NAMESPACE_FIELDS } from "../../nvme/admin/namespace-fields.js";
import type { RegisterValue } from "../../nvme/register-fields.js";
import { formatSize } from "../../units.js";
import type { IdentifyReport, NamespaceReport } from "../report.js";
import { hex } from "./identify-data.js";
import { lines } from "./normal.js";
import { table, type Column } from "./table.js";
import { wrap } from "./text.js";

type Values = Readonly<Record<string, number | bigint | string>>;

export function identifyText(report: IdentifyReport): string {
  const { address, controller, namespaces = [], namespace, registers } = report;
  if (registers)
    return lines([`NVMe controller ${address}: registers`, ...registerLines(registers)]);
  if (namespace)
    return lines([`NVMe namespace ${address}/${namespace.nsid}`, ...namespaceLines(namespace)]);
  if (!controller) return "";
  return lines([
    `NVMe controller ${address}`,
    ...controllerLines(controller),
    "",
    "Namespaces",
    ...(namespaces.length === 0 ? ["none"] : table(NAMESPACE_COLUMNS, namespaces)).map(
      (row) => `  ${row}`,
    ),
  ]);
}

type NamespaceRow = NonNullable<IdentifyReport["namespaces"]>[number];

const NAMESPACE_COLUMNS: Column<NamespaceRow>[] = [
  { title: "nsid", align: "right", value: ({ nsid }) => String(nsid) },
  { title: "size", align: "right", value: ({ bytes }) => formatSize(bytes) },
  { title: "block", align: "right", value: ({ block_bytes: bytes }) => formatSize(bytes) },
  { title: "metadata", align: "right", value: ({ metadata_bytes: bytes }) => `${bytes} B` },
];

function controllerLines({ fields, maxTransfer, powerStates }: ControllerIdentity): string[] {
  return [
    ...fieldLines(CONTROLLER_FIELDS, fields, {
      mdts: Number.isFinite(maxTransfer) ? formatSize(maxTransfer) : "no limit",
    }),
    ...powerStates.map((state, index) => {
      // MXPS: the maximum power is in units of 0.1 mW instead of 10 mW.
      const watts = state.mp * ((state.flags & 1) === 1 ? 0.0001 : 0.01);
      const kind = (state.flags & 2) === 0 ? "operational" : "non-operational";
      const latencies = `enlat ${state.enlat} us, exlat ${state.exlat} us`;
      const { rrt, rrl, rwt, rwl } = state;
      return line(
        `ps ${index}`,
        `${Number(watts.toFixed(4))} W, ${kind}, ${latencies}, rrt ${rrt}, rrl ${rrl}, rwt ${rwt}, rwl ${rwl}`,
      );
    }),
  ];
}

function namespaceLines({ identity, descriptors }: NamespaceReport): string[] {
  const { fields, formats, blockSize } = identity;
  const inUse = formatInUse(fields);
  const size = (blocks: bigint): string => formatSize(Number(blocks) * blockSize);
  const names = Object.entries(descriptors ?? {}).filter(([, value]) => value !== null);
  return [
    ...fieldLines(NAMESPACE_FIELDS, fields, {
      nsze: size(fields.nsze),
      ncap: size(fields.ncap),
      nuse: size(fields.nuse),
    }),
    ...formats.map(({ ms, lbads, rp }, index) =>
      line(
        `lbaf ${index}`,
        `ms ${ms}, lbads ${lbads} (${formatSize(2 ** lbads)}), rp ${rp}${index === inUse ? " (in use)" : ""}`,
      ),
    ),
    ...names.map(([name, value]) => line(`id ${name}`, String(value))),
  ];
}

/** `more`: what the table cannot know, by field. */
function fieldLines(
  fields: FieldTable,
  values: Values,
  more: Readonly<Record<string, string>>,
): string[] {
  return fields.flatMap((field) => {
    const [name, , , kind] = field;
    const value = values[name]!;
    const shown = kind === "hex" && value !== 0 ? hex(value as number) : String(value);
    const extra = more[name];
    const meanings = extra === undefined ? meaningsOf(field, value) : [extra];
    if (meanings.length === 0) return [line(name, shown)];
    const first = `${line(name, shown)}  `;
    const rest = " ".repeat(line("", "").length + shown.length + 3);
    return wrap(meanings, { first, rest, separator: ", " });
  });
}

function meaningsOf([, , , , meaning]: Field, value: number | bigint | string): string[] {
  if (meaning === undefined || typeof value === "string") return [];
  if (typeof meaning !== "function") return bitNames(meaning, value);
  const words = meaning(Number(value));
  return words === "" ? [] : [words];
}

/** Names of bits that are set, and of wider parts that are not 0 with their value. */
function bitNames(parts: BitFields, value: number | bigint): string[] {
  return Object.entries(decodeBits(parts, value)).flatMap(([name, part]) => {
    if (part === 0) return [];
    return [typeof parts[name] === "number" ? name : `${name} ${part}`];
  });
}

function registerLines(registers: readonly RegisterValue[]): string[] {
  return registers.flatMap(({ name, value, fields }) => {
    const first = `${line(name, hex(value))}  `;
    const parts = Object.entries(fields).map(([part, bits]) => `${part} ${numberOf(bits)}`);
    return wrap(parts, { first, rest: " ".repeat(first.length), separator: ", " });
  });
}

/** What no one reads in decimal is an address. */
function numberOf(value: number): string {
  return value > 0xffff ? hex(value) : String(value);
}

function line(name: string, value: string): string {
  return `${name.padEnd(9)} : ${value}`;
}
