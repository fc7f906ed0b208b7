import type { BenchPath } from "../point.js";
import type { BenchResult } from "../report.js";
import {
  format,
  namesIn,
  UNITS,
  valueOf,
  type BinaryNode,
  type Expression,
  type NameNode,
} from "./expression.js";
import { readField } from "./names.js";

/** Which results the names of an expression are of. */
export interface Binding {
  /** Of names without a path; null where there are none. */
  each: BenchResult | null;
  byPath: ReadonlyMap<BenchPath, BenchResult>;
}

export interface Finding {
  outcome: "pass" | "fail" | "error";
  /** The values of what was compared; what is not known, and why. */
  detail: string;
}

/**
 * `and` and `or` look at their right side only where the left one leaves it open. What is looked at must
 * be known: a number that is not, or a division by zero, is an error, never true or false.
 */
export function evaluate(expression: Expression, binding: Binding): Finding {
  const evaluator = new Evaluator(binding);
  try {
    for (const result of [binding.each ?? [], ...binding.byPath.values()].flat()) {
      const { path, incomplete, failed } = result;
      if (incomplete) throw new CannotTell(`${path} did not run to its end`);
      if (failed !== null) throw new CannotTell(`${path} failed: ${failed.message}`);
    }
    const holds = evaluator.truth(expression);
    return { outcome: holds ? "pass" : "fail", detail: evaluator.compared.join("; ") };
  } catch (error) {
    if (!(error instanceof CannotTell)) throw error;
    return { outcome: "error", detail: error.message };
  }
}

class CannotTell extends Error {}

class Evaluator {
  /** Each comparison that was looked at, in words. */
  readonly compared: string[] = [];
  readonly #binding: Binding;

  constructor(binding: Binding) {
    this.#binding = binding;
  }

  truth(expression: Expression): boolean {
    if (expression.kind === "not") return !this.truth(expression.operand);
    if (expression.kind !== "binary") throw new TypeError(`${format(expression)} is a number`);
    const { operator, left, right } = expression;
    if (operator === "and") return this.truth(left) && this.truth(right);
    if (operator === "or") return this.truth(left) || this.truth(right);
    return this.#compare(expression, this.#number(left), this.#number(right));
  }

  #number(expression: Expression): number {
    const value = this.#anyNumber(expression);
    if (Number.isFinite(value)) return value;
    throw new CannotTell(`${format(expression)} is too large a number`);
  }

  #anyNumber(expression: Expression): number {
    switch (expression.kind) {
      case "number":
        return valueOf(expression);
      case "name":
        return this.#read(expression);
      case "negate":
        return -this.#number(expression.operand);
      case "call": {
        const values = expression.arguments.map((argument) => this.#number(argument));
        return expression.function === "abs"
          ? Math.abs(values[0]!)
          : Math[expression.function](...values);
      }
      case "not":
        throw new TypeError(`${format(expression)} is no number`);
      case "binary":
        return this.#arithmetic(expression);
    }
  }

  #arithmetic(expression: BinaryNode): number {
    const [left, right] = [this.#number(expression.left), this.#number(expression.right)];
    switch (expression.operator) {
      case "+":
        return left + right;
      case "-":
        return left - right;
      case "*":
        return left * right;
      case "/":
        if (right !== 0) return left / right;
        throw new CannotTell(
          `division by zero: ${format(expression.right)} is 0 in ${format(expression)}`,
        );
      default:
        throw new TypeError(`${format(expression)} is no number`);
    }
  }

  #read(name: NameNode): number {
    const { path, field } = name;
    const result = path === null ? this.#binding.each : this.#binding.byPath.get(path);
    if (result === null || result === undefined) throw new TypeError(`nothing for ${format(name)}`);
    const value = readField(result, field);
    if (typeof value === "number") return value;
    const why =
      value === undefined
        ? "is not among the percentiles that were asked for (percentile_list)"
        : "is not known";
    throw new CannotTell(`${format({ ...name, path: result.path })} ${why}`);
  }

  #compare(node: BinaryNode, left: number, right: number): boolean {
    const holds = HOLDS[node.operator as Comparison](left, right);
    const unit = unitOf(node.left) || unitOf(node.right);
    const operator = holds ? node.operator : `not ${node.operator}`;
    const sides = `${side(node.left, left, unit)} ${operator} ${side(node.right, right, unit)}`;
    // A side that is a name says its value itself.
    const within = [node.left, node.right].filter(({ kind }) => kind !== "name").flatMap(namesIn);
    const values = within.map((name) => `${format(name)} = ${show(this.#read(name), "")}`);
    const list = [...new Set(values)].join(", ");
    this.compared.push(list === "" ? sides : `${sides} (${list})`);
    return holds;
  }
}

type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=";

const HOLDS: Record<Comparison, (left: number, right: number) => boolean> = {
  "==": (left, right) => left === right,
  "!=": (left, right) => left !== right,
  "<": (left, right) => left < right,
  "<=": (left, right) => left <= right,
  ">": (left, right) => left > right,
  ">=": (left, right) => left >= right,
};

/** Values are said in the unit of the number that they are compared with. */
function unitOf(expression: Expression): string {
  return expression.kind === "number" ? expression.unit : "";
}

function side(expression: Expression, value: number, unit: string): string {
  const text = format(expression);
  return expression.kind === "number" ? text : `${text} = ${show(value, unit)}`;
}

/** Whole numbers exactly, others to six digits. */
function show(value: number, unit: string): string {
  const scaled = value / (UNITS.get(unit) ?? 1);
  return `${Number.isInteger(scaled) ? scaled : Number(scaled.toPrecision(6))}${unit}`;
}
