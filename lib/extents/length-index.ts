/** Slots of a node: one digit of a length. */
const RADIX_BITS = 5;
const RADIX = 2 ** RADIX_BITS;
const DIGIT = RADIX - 1;
/** A length is taken apart into two 32-bit halves of so many digits each: doubles have no shifts. */
const HALF_DIGITS = 4;
const HALF = RADIX ** HALF_DIGITS;
const FIRST_NODES = 64;

/** Nothing is that long. */
export const NO_SLOT = -1;

/**
 * An ordered set of lengths, each with an id of the caller's (above 0): a 32-way trie of the lengths'
 * digits, most significant first, in typed arrays. A mask in each node says which of its slots are
 * occupied, so that the next one up is a count of zeros, and the smallest length of at least n is
 * found in as many steps as the length has digits, however many lengths there are.
 *
 * Leading zeros have no nodes: the root, node 0, branches by the number of digits, so that the short
 * lengths, which are most of them, lie one or two nodes deep.
 *
 * A slot is a place in `entries`: a node's number times 32, plus the digit.
 */
export class LengthIndex {
  /** In an occupied slot: a child's number (above 0), or, at the last digit, minus the caller's id. */
  #entries = new Int32Array(FIRST_NODES * RADIX);
  /** For each node: which of its slots are occupied. */
  #masks = new Int32Array(FIRST_NODES);
  /** For each node: the slot it hangs from; for an unused one: the next unused one. */
  #parents = new Int32Array(FIRST_NODES);
  #nodes = 1;
  #unused = 0;

  /** The slot of `length`, which is added where it is missing; its id is 0 then. */
  add(length: number): number {
    const high = (length / HALF) | 0;
    const low = (length - high * HALF) | 0;
    let level = topDigit(high, low);
    let slot = level;
    while (level >= 0) {
      let child = this.#entries[slot]!;
      if (child === 0) {
        child = this.#newNode(slot);
        this.#occupy(slot);
        this.#entries[slot] = child;
      }
      slot = (child << RADIX_BITS) | digit(high, low, level);
      level--;
    }
    this.#occupy(slot);
    return slot;
  }

  id(slot: number): number {
    // A sign would make -0 of 0, which is no small integer.
    return 0 - this.#entries[slot]!;
  }

  setId(slot: number, id: number): void {
    this.#entries[slot] = 0 - id;
  }

  /** Takes out the length that has this slot. */
  remove(slot: number): void {
    for (;;) {
      const node = slot >> RADIX_BITS;
      this.#entries[slot] = 0;
      const mask = this.#masks[node]! & ~(1 << (slot & DIGIT));
      this.#masks[node] = mask;
      if (mask !== 0 || node === 0) return;
      slot = this.#parents[node]!;
      this.#parents[node] = this.#unused;
      this.#unused = node;
    }
  }

  /** The slot of the smallest length of at least `length`, or NO_SLOT. */
  ceiling(length: number): number {
    const entries = this.#entries;
    const masks = this.#masks;
    const high = (length / HALF) | 0;
    const low = (length - high * HALF) | 0;
    let level = topDigit(high, low);
    let slot = level;
    let larger = NO_SLOT;
    for (;;) {
      // Bits of the digits above this one: the deepest node that has some leads to the next length.
      const above = masks[slot >> RADIX_BITS]! & (-2 << (slot & DIGIT));
      if (above !== 0) larger = (slot & ~DIGIT) | lowestBit(above);
      const entry = entries[slot]!;
      if (entry === 0) break;
      if (level < 0) return slot;
      slot = (entry << RADIX_BITS) | digit(high, low, level);
      level--;
    }
    if (larger === NO_SLOT) return NO_SLOT;
    slot = larger;
    for (let entry = entries[slot]!; entry > 0; entry = entries[slot]!)
      slot = (entry << RADIX_BITS) | lowestBit(masks[entry]!);
    return slot;
  }

  /** The slot of the greatest length, or NO_SLOT. */
  greatest(): number {
    if (this.#masks[0] === 0) return NO_SLOT;
    let slot = highestBit(this.#masks[0]!);
    for (let entry = this.#entries[slot]!; entry > 0; entry = this.#entries[slot]!)
      slot = (entry << RADIX_BITS) | highestBit(this.#masks[entry]!);
    return slot;
  }

  #occupy(slot: number): void {
    const node = slot >> RADIX_BITS;
    this.#masks[node] = this.#masks[node]! | (1 << (slot & DIGIT));
  }

  #newNode(parent: number): number {
    let node = this.#unused;
    if (node !== 0) this.#unused = this.#parents[node]!;
    else {
      node = this.#nodes++;
      if (node === this.#masks.length) this.#grow();
    }
    this.#parents[node] = parent;
    return node;
  }

  #grow(): void {
    const nodes = 2 * this.#masks.length;
    this.#entries = enlarged(this.#entries, nodes * RADIX);
    this.#masks = enlarged(this.#masks, nodes);
    this.#parents = enlarged(this.#parents, nodes);
  }
}

/** The place of the most significant digit, 0 for a length of one digit. */
function topDigit(high: number, low: number): number {
  return high === 0
    ? (highestBit(low) / RADIX_BITS) | 0
    : HALF_DIGITS + ((highestBit(high) / RADIX_BITS) | 0);
}

function digit(high: number, low: number, place: number): number {
  return place < HALF_DIGITS
    ? (low >>> (RADIX_BITS * place)) & DIGIT
    : (high >>> (RADIX_BITS * (place - HALF_DIGITS))) & DIGIT;
}

function lowestBit(mask: number): number {
  return highestBit(mask & -mask);
}

function highestBit(mask: number): number {
  return 31 - Math.clz32(mask);
}

function enlarged(from: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}
