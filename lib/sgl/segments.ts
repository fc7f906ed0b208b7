const INITIAL = 8;

/** Addresses and lengths side by side: no object for a segment. */
export class Segments {
  /** Bus addresses or IOVAs; `count` of them are in use, as of `lengths`. */
  addresses: Float64Array;
  /** Bytes. */
  lengths: Float64Array;
  count = 0;

  constructor(capacity = INITIAL) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  push(address: number, length: number): void {
    if (this.count === this.addresses.length) this.#grow();
    this.addresses[this.count] = address;
    this.lengths[this.count++] = length;
  }

  /** Gives back the room that is not used. */
  trim(): void {
    if (this.count === this.addresses.length) return;
    this.addresses = this.addresses.slice(0, this.count);
    this.lengths = this.lengths.slice(0, this.count);
  }

  #grow(): void {
    const { addresses, lengths } = this;
    this.addresses = new Float64Array(2 * addresses.length);
    this.addresses.set(addresses);
    this.lengths = new Float64Array(2 * lengths.length);
    this.lengths.set(lengths);
  }
}

/**
 * The same bytes in the same order, in as few segments as `maxSegment` (bytes) and `boundary` (a
 * power of two, which no segment reaches over) allow; Infinity is no limit. Each segment ends only
 * where the bytes do not go on at the next address, or where a limit ends it. Null where these would
 * be more than `maxSegments`, of which no more are made.
 */
export function joinAndCut(
  segments: Segments,
  maxSegment: number,
  boundary: number,
  maxSegments: number,
): Segments | null {
  const { addresses, lengths, count } = segments;
  const isCut = maxSegment < Infinity || boundary < Infinity;
  const out = new Segments(Math.min(count, maxSegments));
  for (let i = 0; i < count;) {
    let start = addresses[i]!;
    let end = start + lengths[i]!;
    for (i++; i < count && addresses[i] === end; i++) end += lengths[i]!;
    if (isCut)
      for (;;) {
        const next = Math.min(start + maxSegment, (Math.floor(start / boundary) + 1) * boundary);
        if (next >= end) break;
        if (out.count === maxSegments) return null;
        out.push(start, next - start);
        start = next;
      }
    if (out.count === maxSegments) return null;
    out.push(start, end - start);
  }
  out.trim();
  return out;
}
