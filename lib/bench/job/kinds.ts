/**
 * Kinds of values that parameters of a job take: how each is read, and its JSON Schema. A text of the
 * command line becomes what the same text is in a YAML file (plainValue()), and is read alike.
 */
import { MOST_CPUS, parseCpuList } from "../../cpu-list.js";
import { P2pError } from "../../errors.js";
import { nearest } from "../../nearest.js";
import { parseSize } from "../../units.js";
import type { OfEnds } from "../point.js";

/** A JSON Schema (2020-12) of one value. */
export type Schema = Readonly<Record<string, unknown>>;

/** `Raw`: as written; `T`: as read. */
export interface Kind<T, Raw = unknown> {
  /** How the command line's help shows it. */
  form: string;
  schema: Schema;
  /** Errors: BAD_ARGUMENT, BAD_SIZE or BAD_ENDPOINT, with what is allowed. */
  parse(value: unknown): T;
  /** For the compiler alone. */
  raw?: Raw;
}

/** A number, if it is written as one. */
export function plainValue(text: string): string | number {
  return /^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text.trim();
}

/** `hint`: what is allowed. */
export function refuse(value: unknown, what: string, hint: string): never {
  throw new P2pError("BAD_ARGUMENT", `${show(value)} is not ${what}`, { hint });
}

function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return `"${value}"`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return value === null || value === undefined ? "nothing" : "a mapping";
}

/** One of these names, or of others that stand for them. */
export function choice<T, Name extends string>(
  what: string,
  names: Readonly<Record<Name, T>>,
  form = "name",
): Kind<T, Name> {
  const all = Object.keys(names);
  return {
    form,
    schema: { enum: all },
    parse: (value) => {
      if (typeof value === "string" && Object.hasOwn(names, value)) return names[value as Name];
      const near = typeof value === "string" ? nearest(value, all) : undefined;
      const meant = near === undefined ? "" : `did you mean ${near}? `;
      return refuse(value, what, `${meant}there are ${all.join(", ")}`);
    },
  };
}

/** A digit that is not 0 somewhere in it. */
const NOT_ZERO = "(?=.*[1-9])";
const SIZE = "\\d+ ?([kmgtKMGT]([iI]?[bB])?|[bB])?$";

/** Bytes. */
export function size(least: 0 | 1): Kind<number, string | number> {
  return {
    form: "size",
    schema: {
      anyOf: [
        { type: "integer", minimum: least },
        { type: "string", pattern: `^${least === 0 ? "" : NOT_ZERO}${SIZE}` },
      ],
    },
    parse: (value) => {
      if (typeof value !== "string" && typeof value !== "number")
        return refuse(
          value,
          "a size",
          "write bytes, or a number with k, m, g or t: 4096, 128k, 1g",
        );
      const bytes = parseSize(String(value));
      if (bytes < least)
        throw new P2pError("BAD_SIZE", "the size is 0", { hint: "sizes are above 0 here" });
      return bytes;
    },
  };
}

/** fio's, in seconds. */
const TIME_UNITS = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400 };
const TIME = "\\d+(\\.\\d+)? ?([uU][sS]|[mM][sS]|[sSmMhHdD])?$";
const TIME_FORM = "seconds, or a number with us, ms, s, m, h or d: 0.5, 500ms, 2m";

/** Seconds. */
export function time(least: "0" | "above 0"): Kind<number, string | number> {
  const bound = least === "0" ? { minimum: 0 } : { exclusiveMinimum: 0 };
  const pattern = new RegExp(`^${TIME}`);
  return {
    form: "time",
    schema: {
      anyOf: [
        { type: "number", ...bound },
        { type: "string", pattern: `^${least === "0" ? "" : NOT_ZERO}${TIME}` },
      ],
    },
    parse: (value) => {
      const hint = `write ${least === "0" ? "" : "more than 0 "}${TIME_FORM}`;
      const text = typeof value === "number" || typeof value === "string" ? String(value) : "";
      if (!pattern.test(text) && typeof value !== "number") return refuse(value, "a time", hint);
      const unit = /[a-z]+$/i.exec(text)?.[0].toLowerCase() ?? "s";
      const number = typeof value === "number" ? value : parseFloat(text);
      const seconds = number * TIME_UNITS[unit as keyof typeof TIME_UNITS];
      if (!(Number.isFinite(seconds) && (least === "0" ? seconds >= 0 : seconds > 0)))
        return refuse(value, "a time", hint);
      return seconds;
    },
  };
}

export function whole(least: number, most: number): Kind<number, number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
  return {
    form: "n",
    schema: { type: "integer", minimum: least, maximum: most },
    parse: (value) => {
      if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)
        return value as number;
      return refuse(value, `a whole number ${range}`, `write a whole number ${range}`);
    },
  };
}

/** True and false, or fio's 1 and 0. */
export const flag: Kind<boolean, boolean | 0 | 1> = {
  form: "flag",
  schema: { enum: [true, false, 1, 0] },
  parse: (value) => {
    if (value === true || value === 1) return true;
    if (value === false || value === 0) return false;
    return refuse(value, "true or false", "write true or false, or 1 or 0");
  },
};

export const cpus: Kind<readonly number[], string | number | readonly number[]> = {
  form: "list",
  schema: {
    anyOf: [
      { type: "integer", minimum: 0, exclusiveMaximum: MOST_CPUS },
      { type: "string", pattern: "^ *\\d+(-\\d+)? *(, *\\d+(-\\d+)? *)*$" },
      {
        type: "array",
        minItems: 1,
        items: { type: "integer", minimum: 0, exclusiveMaximum: MOST_CPUS },
      },
    ],
  },
  parse: (value) => {
    const numbers = Array.isArray(value) ? value : [value];
    const isList = numbers.length > 0 && numbers.every((item) => Number.isInteger(item));
    const list = isList ? numbers.join(",") : value;
    const parsed = typeof list === "string" ? parseCpuList(list) : null;
    return parsed ?? refuse(value, "a list of processors", "write it as fio does: 0-3,6");
  },
};

const PERCENTILE = "\\d+(\\.\\d+)?";

/** Of a hundred, in ascending order. */
export const percentiles: Kind<readonly number[], string | number | readonly number[]> = {
  form: "list",
  schema: {
    anyOf: [
      { type: "number", exclusiveMinimum: 0, maximum: 100 },
      { type: "string", pattern: `^${PERCENTILE}(:${PERCENTILE})*$` },
      {
        type: "array",
        minItems: 1,
        items: { type: "number", exclusiveMinimum: 0, maximum: 100 },
      },
    ],
  },
  parse: (value) => {
    const items: unknown[] =
      typeof value === "string"
        ? value.split(":").map(plainValue)
        : Array.isArray(value)
          ? value
          : [value];
    const isRight = items.every((item) => typeof item === "number" && item > 0 && item <= 100);
    if (items.length > 0 && isRight)
      return [...new Set(items as number[])].sort((one, other) => one - other);
    return refuse(value, "a list of percentiles", "above 0, up to 100, as fio does: 50:99:99.9");
  },
};

/** An RDMA device as the kernel names it. */
export const deviceName: Kind<string, string> = {
  form: "name",
  schema: { type: "string", pattern: "^[\\w.-]+$" },
  parse: (value) => {
    if (typeof value === "string" && /^[\w.-]+$/.test(value)) return value;
    return refuse(value, "a name of an RDMA device", "write it as p2pmem rdma devices shows it");
  },
};

/** Of both ends, or the source's and the destination's: `1:2`. */
export function ofEnds<T, Raw>(kind: Kind<T, Raw>): Kind<OfEnds<T>, Raw | string> {
  return {
    form: `${kind.form}[:${kind.form}]`,
    schema: { anyOf: [kind.schema, { type: "string", pattern: "^[^:]+:[^:]+$" }] },
    parse: (value) => {
      const parts = typeof value === "string" ? value.split(":").map(plainValue) : [value];
      const [source, destination = source, ...others] = parts.map((part) => kind.parse(part));
      if (others.length > 0)
        return refuse(value, "one value or two", "write one of both ends, or SOURCE:DESTINATION");
      return [source!, destination!];
    },
  };
}

/** Texts that somebody else reads. */
export const texts: Kind<readonly string[], string | readonly string[]> = {
  form: "text",
  schema: {
    anyOf: [
      { type: "string", minLength: 1 },
      { type: "array", items: { type: "string", minLength: 1 } },
    ],
  },
  parse: (value) => {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    if (items.every((item) => typeof item === "string" && item !== "")) return items as string[];
    return refuse(value, "a text or a list of texts", "write one text, or a list of them");
  },
};
