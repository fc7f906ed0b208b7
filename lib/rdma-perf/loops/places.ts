import { PAGE } from "../layout.js";

const CACHE_LINE = 64;

/** Bytes from one message to the next, of those that go through a page. */
export function placeBytes(size: number): number {
  return Math.ceil(size / CACHE_LINE) * CACHE_LINE;
}

/**
 * How many places messages of this size go through in turn, as perftest's do: those of up to half a page
 * have as many as a page has room for, others all lie at the same one.
 */
export function placesOf(size: number): number {
  return size <= PAGE / 2 ? Math.floor(PAGE / placeBytes(size)) : 1;
}
