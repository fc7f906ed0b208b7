import { readFileSync, readdirSync } from "node:fs";
import { parseMachine, type DescribedMachine } from "./topology.js";

/** The descriptions themselves: the compiler copies none of them. */
const FOLDER = new URL("../../test/fixtures/topology/", import.meta.url);

export const FIXTURES: readonly string[] = readdirSync(FOLDER)
  .map((file) => file.replace(/\.txt$/, ""))
  .sort();

/** One of them, with some of its words replaced wherever they are. */
export function fixture(
  name: string,
  but: Readonly<Record<string, string>> = {},
): DescribedMachine {
  let text = readFileSync(new URL(`${name}.txt`, FOLDER), "utf8");
  for (const [from, to] of Object.entries(but)) {
    if (!text.includes(from)) throw new Error(`${name} has no "${from}"`);
    text = text.replaceAll(from, to);
  }
  return parseMachine(text);
}
