import type { P2pError } from "../../errors.js";
import {
  COMPARISON,
  format,
  FUNCTIONS,
  isBoolean,
  LEVELS,
  namesIn,
  SIGN,
  UNITS,
  type Expression,
  type FunctionName,
  type Operator,
} from "./expression.js";
import { badExpression, quoted, tokensOf, type Token } from "./lexer.js";
import { findName, RESULT_FIELDS, suggestName } from "./names.js";

/** What a job expects of its results. */
export interface Expectation {
  /** As written. */
  text: string;
  expression: Expression;
}

const OPERAND = "a number, a name such as p2p.bw_bytes, or (";
const SYNONYMS: Readonly<Record<string, string>> = { "&&": "and", "||": "or", "!": "not" };
/** More than a person writes, and less than ends the process. */
const MOST_TOKENS = 1000;
const DEEPEST = 100;

/**
 * Reads `p2p.bw_bytes / host.bw_bytes >= 0.9` and its like (docs/expectations.md). All that can be wrong
 * with it but for what is measured is found here. Errors: BAD_EXPRESSION, with column, what is expected
 * there, and an excerpt with a caret.
 */
export function parseExpectation(text: string): Expectation {
  return { text: text.trim(), expression: new Parser(text).parse() };
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #index = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  parse(): Expression {
    const start = this.#next;
    if (start.kind === "end") throw this.#mistake(start, "the expression is empty");
    if (this.#tokens.length > MOST_TOKENS)
      throw this.#mistake(this.#tokens[MOST_TOKENS]!, "the expression is too long");
    const expression = this.#expression(0);
    if (this.#next.kind !== "end")
      throw this.#expected(isBoolean(expression) ? "and, or, or the end" : "an operator");
    if (!isBoolean(expression))
      throw this.#mistake(
        this.#next,
        `expected a comparison: ${format(expression)} is a number, neither true nor false`,
        "compare it, as in p2p.bw_bytes >= 1g",
      );
    if (namesIn(expression).length === 0)
      throw this.#mistake(
        start,
        "it names nothing that was measured",
        "name a field, as in p2p.bw_bytes",
      );
    return expression;
  }

  get #next(): Token {
    return this.#tokens[this.#index]!;
  }

  #take(): Token {
    return this.#tokens[this.#index++]!;
  }

  /** The operator or word that comes next, by its one spelling. */
  get #symbol(): string | null {
    const { kind } = this.#next;
    if (kind !== "operator" && kind !== "name") return null;
    return SYNONYMS[this.#next.text] ?? this.#next.text;
  }

  /** Precedence climbing: operands joined by operators of level `least` and above. */
  #expression(least: number): Expression {
    const start = this.#next;
    let left = this.#prefix();
    for (;;) {
      const symbol = this.#symbol;
      if (symbol === null || !isOperator(symbol)) return left;
      const level = LEVELS[symbol];
      if (level < least) return left;
      const token = this.#take();
      const behind = this.#next;
      const right = this.#expression(level + 1);
      const wanted = level < COMPARISON ? "boolean" : "number";
      this.#require(left, wanted, start, `${quoted(symbol)} wants on its left`);
      this.#require(right, wanted, behind, `${quoted(symbol)} wants on its right`);
      left = { kind: "binary", operator: symbol, left, right };
      if (level === COMPARISON) this.#checkComparison(token);
      if (level === COMPARISON) this.#checkPercent(left, token);
    }
  }

  /** What stands before an operator: signs, `not`, and the operand itself. */
  #prefix(): Expression {
    if (++this.#depth > DEEPEST) throw this.#mistake(this.#next, "it is nested too deeply");
    try {
      const symbol = this.#symbol;
      if (symbol !== "-" && symbol !== "not") return this.#primary();
      this.#take();
      const start = this.#next;
      const operand = this.#expression(symbol === "-" ? SIGN : COMPARISON);
      const wanted = symbol === "-" ? "number" : "boolean";
      this.#require(operand, wanted, start, `${quoted(symbol)} wants`);
      return { kind: symbol === "-" ? "negate" : "not", operand };
    } finally {
      this.#depth--;
    }
  }

  #primary(): Expression {
    const token = this.#next;
    if (token.kind === "number") {
      this.#take();
      return { kind: "number", value: token.value, unit: this.#unit() };
    }
    if (token.kind === "operator" && token.text === "(") {
      this.#take();
      const inner = this.#expression(0);
      this.#close(token);
      return inner;
    }
    if (token.kind !== "name" || token.text === "and" || token.text === "or")
      throw this.#expected(OPERAND);
    this.#take();
    if (this.#symbol === "(") return this.#call(token.text, token);
    return this.#name(token);
  }

  /** Behind a number: nothing, %, or a word that is not one that joins expressions. */
  #unit(): string {
    const token = this.#next;
    if (token.kind === "operator" && token.text === "%") {
      this.#take();
      return "%";
    }
    const isUnit = token.kind === "name" && !isOperator(token.text) && !findName(token.parts);
    if (!isUnit) return "";
    const unit = token.text.toLowerCase();
    if (!UNITS.has(unit))
      throw this.#mistake(
        token,
        `${quoted(token.text)} is no unit`,
        "units are ns, us, ms, s; k, m, g, t, KiB, MiB, GiB, TiB (1024-based); %",
      );
    this.#take();
    return unit;
  }

  #call(name: string, token: Token): Expression {
    const found = FUNCTIONS.find((candidate) => candidate === name);
    if (found === undefined)
      throw this.#mistake(
        token,
        `there is no function ${name}`,
        `there are ${FUNCTIONS.join(", ")}`,
      );
    const open = this.#take();
    const list: Expression[] = [];
    do {
      const start = this.#next;
      list.push(this.#expression(0));
      this.#require(list.at(-1)!, "number", start, `${name} wants`);
    } while (this.#skip(","));
    this.#close(open);
    this.#checkArguments(found, list.length, token);
    return { kind: "call", function: found, arguments: list };
  }

  #checkArguments(name: FunctionName, count: number, token: Token): void {
    if (name === "abs" ? count === 1 : count >= 2) return;
    const wanted = name === "abs" ? "one argument" : "two arguments or more";
    throw this.#mistake(token, `${name} takes ${wanted}, not ${count}`);
  }

  #name(token: Token & { kind: "name" }): Expression {
    const found = findName(token.parts);
    if (found !== null) return found;
    const meant = suggestName(token.parts);
    throw this.#mistake(
      token,
      `a result has no number ${quoted(token.text)}`,
      meant === undefined
        ? `names are those of the JSON, such as ${RESULT_FIELDS.slice(5, 9).join(", ")}, lat_ns.p99`
        : `did you mean ${meant}?`,
    );
  }

  #skip(symbol: string): boolean {
    if (this.#symbol !== symbol) return false;
    this.#take();
    return true;
  }

  #close(open: Token): void {
    if (!this.#skip(")"))
      throw this.#expected(
        `) for the ( in column ${open.at - this.#text.lastIndexOf("\n", open.at)}`,
      );
  }

  #require(operand: Expression, type: "number" | "boolean", start: Token, what: string): void {
    if (isBoolean(operand) === (type === "boolean")) return;
    const wanted = type === "number" ? "a number" : "a comparison";
    throw this.#mistake(start, `${what} ${wanted}, and ${format(operand)} is none`);
  }

  #checkComparison(first: Token): void {
    const symbol = this.#symbol;
    if (symbol === null || !isOperator(symbol) || LEVELS[symbol] !== COMPARISON) return;
    const one = this.#text.slice(first.at, first.at + 2).trim();
    throw this.#mistake(
      this.#next,
      "comparisons do not chain",
      `write two: a ${one} b and b ${symbol} c`,
    );
  }

  /** A share that JSON has in percent is not compared with one that is a part of 1. */
  #checkPercent({ left, right }: { left: Expression; right: Expression }, token: Token): void {
    for (const [name, number] of [
      [left, right],
      [right, left],
    ] as const) {
      if (name.kind !== "name" || number.kind !== "number" || number.unit !== "%") continue;
      if (!/(_pct|^rwmixread)$/.test(name.field)) continue;
      throw this.#mistake(
        token,
        `${name.field} is in percent already, and ${number.value}% is ${number.value / 100}`,
        `write ${number.value}`,
      );
    }
  }

  #expected(what: string): P2pError {
    const token = this.#next;
    const found =
      token.kind === "end"
        ? "the end"
        : token.kind === "number"
          ? String(token.value)
          : quoted(token.text);
    return this.#mistake(token, `expected ${what}, found ${found}`);
  }

  #mistake({ at }: Token, what: string, hint?: string): P2pError {
    return badExpression(this.#text, at, what, hint);
  }
}

function isOperator(symbol: string): symbol is Operator {
  return Object.hasOwn(LEVELS, symbol);
}
