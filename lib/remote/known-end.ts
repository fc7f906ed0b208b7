import { z } from "zod";
import { textLine } from "../exchange/text.js";
import { MAX_IDENTITY } from "./identity.js";
import type { Place } from "./protocol.js";

/**
 * What of one end a copy knows by when it goes on: of another place the confirmed blocks would not be
 * those that are there. Bytes.
 */
export const knownEnd = z.object({
  identity: textLine(MAX_IDENTITY),
  /** From the start of the namespace. */
  offset: z.int().min(0),
  /** Of a logical block. */
  blockSize: z.int().min(1),
  /** From the offset on, as far as the endpoint, or what is served, goes. */
  bytes: z.int().min(1),
});
export type KnownEnd = z.infer<typeof knownEnd>;

export function knownEndOf(range: { place: Place; bytes: number; identity: string }): KnownEnd {
  const { place, bytes, identity } = range;
  const { offset, blockSize } = place;
  return { ...{ identity, offset, blockSize, bytes } };
}

const WORDS = [
  ["identity", "the namespace"],
  ["offset", "the offset"],
  ["blockSize", "the size of a logical block"],
  ["bytes", "the length"],
] as const;

/** What is not as it was, in words; null: all of it is. */
export function changeOf(before: KnownEnd, now: KnownEnd): string | null {
  const changed = WORDS.find(([name]) => before[name] !== now[name]);
  if (changed === undefined) return null;
  const [name, words] = changed;
  return `${words} was ${before[name]}, and is ${now[name]}`;
}
