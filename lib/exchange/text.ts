import { z } from "zod";

/** Text of others, or of devices, on one line of at most `max` characters, and one mark that it was cut. */
export function toLine(text: string, max: number): string {
  // No control characters, none that turn the direction of text.
  const line = text.slice(0, max + 1).replaceAll(/[\p{C}\p{Z}]+/gu, " ");
  return line.length > max ? `${line.slice(0, max)}…` : line;
}

/** What the peer says for people: it is cut, and made safe to print, before anybody sees it. */
export function textLine(max: number) {
  return z.string().transform((text) => toLine(text, max));
}
