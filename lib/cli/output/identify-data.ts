/** What `identify` writes for programs. */
import { CONTROLLER_FIELDS } from "../../nvme/admin/controller-fields.js";
import type { Field, FieldTable } from "../../nvme/admin/fields.js";
import { LBA_FORMAT_FIELDS, NAMESPACE_FIELDS } from "../../nvme/admin/namespace-fields.js";
import { POWER_STATE_FIELDS } from "../../nvme/admin/power-states.js";
import type { IdentifyReport, NamespaceReport } from "../report.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";

type Values = Readonly<Record<string, number | bigint | string>>;
type Scalar = number | string | null;

const WIDEST_NUMBER = 8;

/** Numbers of 128 bits are strings always, those of 64 bits where a double cannot hold them. */
function scalar([, , bytes]: Field, value: number | bigint | string): number | string {
  if (typeof value !== "bigint") return value;
  const isExact = bytes <= WIDEST_NUMBER && value <= BigInt(Number.MAX_SAFE_INTEGER);
  return isExact ? Number(value) : String(value);
}

function scalars(table: FieldTable, values: Values): Record<string, number | string> {
  return Object.fromEntries(table.map((field) => [field[0], scalar(field, values[field[0]]!)]));
}

function namespaceObject({ nsid, identity, descriptors }: NamespaceReport): object {
  return {
    nsid,
    ...scalars(NAMESPACE_FIELDS, identity.fields),
    lbafs: identity.formats.map((format) => scalars(LBA_FORMAT_FIELDS, format)),
    descriptors,
  };
}

export function identifyJson(report: IdentifyReport): string {
  const { version, platform, address, controller, namespaces, namespace, registers } = report;
  return stringify({
    version,
    platform,
    address,
    controller: controller && {
      ...scalars(CONTROLLER_FIELDS, controller.fields),
      psds: controller.powerStates.map((state) => scalars(POWER_STATE_FIELDS, state)),
    },
    namespaces,
    namespace: namespace && namespaceObject(namespace),
    registers:
      registers &&
      Object.fromEntries(
        registers.map(({ name, value, fields }) => [name, { value: hex(value), ...fields }]),
      ),
  });
}

/** A row for each field; of what repeats, the number stands after the name of its structure. */
export function identifyCsv(report: IdentifyReport): string {
  const { controller, namespaces, namespace, registers } = report;
  const cells: [structure: string, field: string, value: Scalar][] = [];
  const add = (structure: string, values: Readonly<Record<string, Scalar>>): void => {
    for (const [field, value] of Object.entries(values)) cells.push([structure, field, value]);
  };
  if (controller) {
    add("controller", scalars(CONTROLLER_FIELDS, controller.fields));
    for (const [index, state] of controller.powerStates.entries())
      add(`psd${index}`, scalars(POWER_STATE_FIELDS, state));
  }
  for (const { nsid, ...rest } of namespaces ?? []) add(`namespace${nsid}`, rest);
  if (namespace) {
    const name = `namespace${namespace.nsid}`;
    add(name, scalars(NAMESPACE_FIELDS, namespace.identity.fields));
    for (const [index, format] of namespace.identity.formats.entries())
      add(`lbaf${index}`, scalars(LBA_FORMAT_FIELDS, format));
    if (namespace.descriptors) add("descriptors", { ...namespace.descriptors });
  }
  for (const { name, value, fields } of registers ?? [])
    add(name, { value: hex(value), ...fields });
  return rows([["structure", "field", "value"], ...cells]);
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
