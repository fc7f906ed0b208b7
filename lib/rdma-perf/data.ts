/** What messages bear, where the CPU reaches their memory, so that it can be seen that it has come. */
import { P2pError } from "../errors.js";
import type { Layout } from "./layout.js";
import { placeBytes, placesOf } from "./loops/places.js";
import { nameOf, type RdmaTest, type SideRole } from "./plan.js";

export interface MessageDataOptions {
  readonly plan: RdmaTest;
  readonly role: SideRole;
  readonly layout: Layout;
  /** The same on both sides. */
  readonly seed: number;
  /** This side's memory; null where the CPU leaves it alone. */
  readonly buffer: ArrayBuffer | null;
  /** The CPU of the other side fills its memory. */
  readonly isOtherFilled: boolean;
}

/** What one side's messages bear, and whether what comes is what the other side's do. */
export class MessageData {
  readonly #options: MessageDataOptions;

  constructor(options: MessageDataOptions) {
    this.#options = options;
  }

  /** Fills what messages of this size come from, and makes what they go to other than that. */
  prepare(index: number, size: number): void {
    const { plan, role, layout, buffer } = this.#options;
    if (buffer === null) return;
    const length = placesOf(size) * placeBytes(size);
    for (let lane = 0; lane < plan.queuePairs; lane++) {
      fill(buffer, layout.sendOffset(lane), length, this.#seedOf(role, index, lane));
      new Uint8Array(buffer, layout.receiveOffset(lane), length).fill(0);
    }
  }

  /**
   * Compares all places that messages went to, of which each lane had `sent` at least; null where there is
   * nothing that this side could compare. Errors: WRONG_DATA.
   */
  verify(index: number, size: number, sent: number): true | null {
    const { plan, role, layout, buffer, isOtherFilled } = this.#options;
    if (buffer === null || !isOtherFilled || !receives(plan, role)) return null;
    // Of latencies of writes the last byte counts messages.
    const length = nameOf(plan) === "write lat" ? size - 1 : size;
    const places = Math.min(sent, plan.measure === "bw" ? placesOf(size) : 1);
    if (length === 0 || places === 0) return null;
    const other = role === "client" ? "server" : "client";
    for (let lane = 0; lane < plan.queuePairs; lane++)
      for (let place = 0; place < places; place++) {
        const offset = place * placeBytes(size);
        // As fill() goes on from there.
        const seed = (this.#seedOf(other, index, lane) + offset / 4) | 0;
        const byte = firstDifference(buffer, layout.receiveOffset(lane) + offset, length, seed);
        if (byte >= 0) throw wrongData(size, lane, offset + byte);
      }
    return true;
  }

  /** Far from each other: what one lane bears another one does not further on. */
  #seedOf(role: SideRole, index: number, lane: number): number {
    const number = (role === "client" ? 0 : 1) + 2 * (index + 64 * lane);
    return (this.#options.seed + Math.imul(number, 0x85eb_ca6b)) | 0;
  }
}

/** Whether data comes to this side. */
function receives({ verb, measure }: RdmaTest, role: SideRole): boolean {
  if (verb === "read") return role === "client";
  return measure === "lat" || role === "server";
}

/** Other words at each place, and for each seed; the multiplier is 2**32 over the golden ratio. */
function wordAt(seed: number, index: number): number {
  return Math.imul(seed + index + 1, 0x9e37_79b1);
}

/** `offset`, `length`: bytes; whole words are filled. */
function fill(buffer: ArrayBuffer, offset: number, length: number, seed: number): void {
  const words = new Int32Array(buffer, offset, Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = wordAt(seed, i);
}

/**
 * The first byte from `offset` on that is not what fill() writes, counted from there; -1: all are.
 */
function firstDifference(
  buffer: ArrayBuffer,
  offset: number,
  length: number,
  seed: number,
): number {
  const whole = length >> 2;
  const words = new Int32Array(buffer, offset, whole);
  for (let i = 0; i < whole; i++)
    if (words[i] !== wordAt(seed, i)) return 4 * i + differingByte(words[i]!, wordAt(seed, i), 4);
  const bytes = new Uint8Array(buffer, offset + 4 * whole, length - 4 * whole);
  const last = bytes.reduce((word, byte, n) => word | (byte << (8 * n)), 0);
  const byte = differingByte(last, wordAt(seed, whole), bytes.length);
  return byte < 0 ? -1 : 4 * whole + byte;
}

/** Of two words, the first of so many bytes; -1: none. */
function differingByte(a: number, b: number, bytes: number): number {
  for (let n = 0; n < bytes; n++) if (((a ^ b) >>> (8 * n)) & 0xff) return n;
  return -1;
}

function wrongData(size: number, lane: number, byte: number): P2pError {
  return new P2pError(
    "WRONG_DATA",
    `messages of ${size} bytes completed without an error, but byte ${byte} of the memory ` +
      `of queue pair ${lane + 1} is not what was sent`,
    { hint: "with --mr odp, try --mr host: the device may lose what it cannot page in" },
  );
}
