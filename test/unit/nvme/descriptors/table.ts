/** Reading the tables of mapping cases. */
import assert from "node:assert/strict";
import { parseBdf } from "#lib/pci/bdf.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { rawVector } from "../../../support/raw-vector.js";

export const CLIENT = parseBdf("0000:03:00.0");
export const PAGE = 4096;
/** Where the tables have the list's memory. */
export const LIST_IOVA = 0x8_0000_0000;
export const LIST_BYTES = 32 * PAGE;

export type Piece = [address: number, length: number];

export const vectorOf = (...pieces: Piece[]): DmaVector =>
  rawVector(
    CLIENT,
    pieces.map(([address, length]) => ({ address, length })),
  );

export interface Section {
  title: string;
  rows: { text: string; cells: string[] }[];
}

export function sectionsOf(table: string): Section[] {
  const sections: Section[] = [];
  for (const line of table.split("\n")) {
    if (line.startsWith("# ")) sections.push({ title: line.slice(2), rows: [] });
    else if (line !== "")
      sections.at(-1)!.rows.push({ text: line, cells: line.split("|").map((cell) => cell.trim()) });
  }
  return sections;
}

export function hex(text: string): number {
  assert.match(text, /^-?[0-9a-f]+$/);
  return parseInt(text, 16);
}

const items = (cell: string): string[] => (cell === "" ? [] : cell.split(/, */));

/** `ADDRESS+LENGTH`, or `ADDRESS+LENGTH x3 by 2000`. */
export function runOf(text: string): Piece[] {
  const [, address, length, count = "1", step = "0"] =
    /^(-?[0-9a-f]+)\+([0-9a-f]+)(?: x(\d+) by ([0-9a-f]+))?$/.exec(text) ?? assert.fail(text);
  return Array.from({ length: Number(count) }, (_, i) => [
    hex(address!) + i * hex(step),
    hex(length!),
  ]);
}

/** The buffer, and the part of it, of a row. */
export function transferOf(
  pieces: string,
  part: string,
): { vector: DmaVector; offset: number; length: number } {
  const vector = vectorOf(...items(pieces).flatMap(runOf));
  const [[offset, length] = [0, vector.byteLength]] = part === "-" ? [] : runOf(part);
  return { vector, offset, length };
}

export const numberOf = (cell: string): number => (cell === "-" ? 0 : hex(cell));

/** `A, B`; `-` is two zeros. */
export const pairOf = (cell: string): number[] => (cell === "-" ? [0, 0] : items(cell).map(hex));

/** Entries of a PRP list; FIRST..LAST are one page apart. */
export function entriesOf(cell: string): number[] {
  return items(cell).flatMap((item) => {
    const [first = "", last = first] = item.split("..");
    const count = (hex(last) - hex(first)) / PAGE + 1;
    return Array.from({ length: count }, (_, i) => hex(first) + i * PAGE);
  });
}

/** Descriptors as [type, address, length]. */
export function descriptorsOf(cell: string): [string, number, number][] {
  return items(cell).flatMap((item) =>
    runOf(item.slice(2)).map(([address, length]): [string, number, number] => [
      item.slice(0, 1),
      address,
      length,
    ]),
  );
}
