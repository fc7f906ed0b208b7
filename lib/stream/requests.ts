/** How many requests to the other end so many slots may have in flight, and completions at once. */
export function requestsOf(slots: number): {
  sends: number;
  receives: number;
  completions: number;
} {
  // A rings has a power of two of them; two for each slot: block and header, or a credit while the one
  // before it has not been acknowledged.
  const sends = 2 ** Math.ceil(Math.log2(2 * slots));
  const receives = 2 ** Math.ceil(Math.log2(slots));
  return { sends, receives, completions: sends + receives };
}
