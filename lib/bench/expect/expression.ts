import type { BenchPath } from "../point.js";

/** What an `expect:` says, checked: the operands have the types that the operators want. */
export type Expression =
  | NumberNode
  | NameNode
  | { kind: "negate"; operand: Expression }
  | { kind: "not"; operand: Expression }
  | { kind: "call"; function: FunctionName; arguments: Expression[] }
  | BinaryNode;

/** `unit` is one of UNITS, or empty. */
export interface NumberNode {
  kind: "number";
  value: number;
  unit: string;
}

/** A field of a result: of one path's, or (null) of each in turn. */
export interface NameNode {
  kind: "name";
  path: BenchPath | null;
  /** The JSON's names, joined by dots: `lat_ns.mean`; of a percentile as in `lat_ns.p99.9`. */
  field: string;
}

export interface BinaryNode {
  kind: "binary";
  operator: Operator;
  left: Expression;
  right: Expression;
}

export const FUNCTIONS = ["abs", "min", "max"] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

/** How tightly each operator holds its operands, as Python has it: `not` is looser than comparisons. */
export const LEVELS = {
  ...{ or: 1, and: 2 },
  ...{ "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4 },
  ...{ "+": 5, "-": 5, "*": 6, "/": 6 },
} as const;
export type Operator = keyof typeof LEVELS;

/** Level of the operand of `not`, and so that of comparisons, which do not chain. */
export const COMPARISON = LEVELS["=="];
/** Level of the operand of a minus sign. */
export const SIGN = 7;

/** What a number is multiplied by: nanoseconds, and bytes as fio and the command line write them. */
export const UNITS: ReadonlyMap<string, number> = new Map([
  ["ns", 1],
  ["us", 1e3],
  ["ms", 1e6],
  ["s", 1e9],
  ...["k", "m", "g", "t"].flatMap((letter, index) =>
    ["", "b", "ib"].map((rest): [string, number] => [letter + rest, 1024 ** (index + 1)]),
  ),
  ["%", 0.01],
]);

export function valueOf({ value, unit }: NumberNode): number {
  // A hundredth has no exact value, a division by 100 has the nearest.
  return unit === "%" ? value / 100 : value * (UNITS.get(unit) ?? 1);
}

export function isBoolean(expression: Expression): boolean {
  if (expression.kind === "not") return true;
  return expression.kind === "binary" && LEVELS[expression.operator] <= COMPARISON;
}

/** All names, each as often as it stands there. */
export function namesIn(expression: Expression): NameNode[] {
  switch (expression.kind) {
    case "number":
      return [];
    case "name":
      return [expression];
    case "call":
      return expression.arguments.flatMap(namesIn);
    case "binary":
      return [...namesIn(expression.left), ...namesIn(expression.right)];
    default:
      return namesIn(expression.operand);
  }
}

/** The expression as text that is read as the same expression again. */
export function format(expression: Expression): string {
  switch (expression.kind) {
    case "number":
      return `${expression.value}${expression.unit}`;
    case "name":
      return expression.path === null
        ? expression.field
        : `${expression.path.replace("-", "_")}.${expression.field}`;
    case "negate":
      return `-${formatOperand(expression.operand, SIGN)}`;
    case "not":
      return `not ${formatOperand(expression.operand, COMPARISON)}`;
    case "call":
      return `${expression.function}(${expression.arguments.map(format).join(", ")})`;
    case "binary": {
      const { operator, left, right } = expression;
      const level = LEVELS[operator];
      return `${formatOperand(left, level)} ${operator} ${formatOperand(right, level + 1)}`;
    }
  }
}

function formatOperand(operand: Expression, least: number): string {
  const text = format(operand);
  return levelOf(operand) < least ? `(${text})` : text;
}

function levelOf(expression: Expression): number {
  if (expression.kind === "binary") return LEVELS[expression.operator];
  // It may stand in front of what `and` and `or` join.
  return expression.kind === "not" ? COMPARISON - 1 : Infinity;
}
