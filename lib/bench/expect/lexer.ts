import { P2pError } from "../../errors.js";
import { BENCH_PATHS } from "../point.js";

export type Token =
  | { kind: "number"; at: number; value: number }
  /** A field's name, a function's, a unit or a word such as `and`; its parts between the dots. */
  | { kind: "name"; at: number; text: string; parts: string[] }
  | { kind: "operator"; at: number; text: string }
  | { kind: "end"; at: number };

const BLANK = /\s*/y;
const NUMBER = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+/y;
const OPERATOR = /&&|\|\||[=!<>]=|[-+*/<>!(),%]/y;
/** A minus sign inside a name is one only in these, where a dot follows. */
const FIRST_PART = new RegExp(
  `(?:${BENCH_PATHS.filter((path) => path.includes("-")).join("|")})(?=\\.)|[A-Za-z_]\\w*`,
  "y",
);
/** The part behind a percentile's dot belongs to it: `.p99.9`. */
const NEXT_PART = /\.(p\d+(?:\.\d+)?(?!\w)|[A-Za-z_]\w*)/y;
const SUBSCRIPT = /\[\s*(?:"([^"\]]*)"|'([^'\]]*)'|([\d.]+))\s*\]/y;

/** Errors: BAD_EXPRESSION, for what no token begins with. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = matchAt(BLANK, text, 0)![0].length;
  while (at < text.length) {
    const { token, length } = tokenAt(text, at);
    tokens.push(token);
    at += length;
    at += matchAt(BLANK, text, at)![0].length;
  }
  return [...tokens, { kind: "end", at: text.trimEnd().length }];
}

function tokenAt(text: string, at: number): { token: Token; length: number } {
  const number = matchAt(NUMBER, text, at)?.[0];
  if (number !== undefined) {
    const value = Number(number);
    if (!Number.isFinite(value)) throw badExpression(text, at, `${number} is too large a number`);
    return { token: { kind: "number", at, value }, length: number.length };
  }
  const operator = matchAt(OPERATOR, text, at)?.[0];
  if (operator !== undefined)
    return { token: { kind: "operator", at, text: operator }, length: operator.length };
  if (matchAt(FIRST_PART, text, at) !== null) return nameAt(text, at);
  const character = String.fromCodePoint(text.codePointAt(at)!);
  const meant = { "=": "==", "&": "&&", "|": "||" }[character];
  throw badExpression(
    text,
    at,
    meant === undefined ? `${quoted(character)} has no meaning here` : `write ${meant}`,
  );
}

function nameAt(text: string, start: number): { token: Token; length: number } {
  const parts = [matchAt(FIRST_PART, text, start)![0]];
  let at = start + parts[0]!.length;
  for (;;) {
    const next = matchAt(NEXT_PART, text, at);
    const subscript = matchAt(SUBSCRIPT, text, at);
    if (next !== null) parts.push(next[1]!);
    // lat_ns.percentile["99.9"], as JavaScript writes it, is lat_ns.p99.9.
    else if (subscript !== null && parts.at(-1) === "percentile")
      parts[parts.length - 1] = `p${subscript[1] ?? subscript[2] ?? subscript[3] ?? ""}`;
    else break;
    at += (next ?? subscript)![0].length;
  }
  if (text[at] === ".") throw badExpression(text, at + 1, "expected a field's name after the dot");
  if (text[at] === "[")
    throw badExpression(
      text,
      at,
      parts.at(-1) === "percentile"
        ? 'expected a percentile in quotes, as in lat_ns.percentile["99.9"]'
        : `${parts.join(".")} is no list; only percentile takes a subscript`,
    );
  const token: Token = { kind: "name", at: start, text: text.slice(start, at), parts };
  return { token, length: at - start };
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** BAD_EXPRESSION, with the column (and the line, where there are several) and a caret below it. */
export function badExpression(text: string, at: number, what: string, hint?: string): P2pError {
  const before = text.slice(0, at).split("\n");
  const line = text.split("\n")[before.length - 1] ?? "";
  const column = (before.at(-1)?.length ?? 0) + 1;
  const place = text.includes("\n")
    ? `line ${before.length}, column ${column}`
    : `column ${column}`;
  // Tabs stay tabs, so that the caret is below its place.
  const indent = line.slice(0, column - 1).replaceAll(/[^\t]/g, " ");
  return new P2pError("BAD_EXPRESSION", `${place}: ${what}`, {
    excerpt: `${line}\n${indent}^`,
    ...(hint === undefined ? {} : { hint }),
  });
}
