/** The keys and indexes that lead to a field of a file: `["root_ports", 0, "cmb"]`. */
export type Field = readonly PropertyKey[];

/** `root_ports[0].cmb` */
export function fieldName(field: Field): string {
  return field
    .map((key, depth) =>
      typeof key === "number" ? `[${key}]` : `${depth > 0 ? "." : ""}${String(key)}`,
    )
    .join("");
}
