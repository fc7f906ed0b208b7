import type { NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { InlineAddress } from "./memory-region.js";
import {
  CALL_TIME,
  POST_COUNT,
  POST_FIRST,
  POST_TAKEN,
  RECEIVE_ID,
  RECEIVE_SGE_COUNT,
  RECEIVE_SGES,
  SEND_FLAGS,
  SEND_ID,
  SEND_IMMEDIATE,
  SEND_OPCODE,
  SEND_REMOTE_ADDRESS,
  SEND_RKEY,
  SEND_SGE_COUNT,
  SEND_SGES,
  SGE_WORDS,
} from "./ring-layout.js";
import { SEND_INLINE } from "./spec.js";

const HIGH = 2 ** 32;

/** The upper half of an id. Of a module's own constants V8 knows the value, not so of imported ones. */
const SEND_NUMBER = SEND_ID + 1;

/** Posts what is asked for behind the records, and answers there: see PostCall in rdma_ring.h. */
export type Post = () => void;

export interface RingShape {
  /** Requests that may be in flight; the ring has the next power of two of records. */
  readonly entries: number;
  /** Bytes from record to record. */
  readonly stride: number;
  /** Gather entries of a request, at most. */
  readonly maxSge: number;
}

/** Numbers of requests go on without an end, in 31 bits. */
const NUMBER = 0x7fff_ffff;
/** In the upper half of a record's id, beside its number: one that fails has no opcode to tell. */
export const IS_RECEIVE = 0x8000_0000;

/**
 * Work requests of one kind of a queue pair: written into the records that the addon posts from, and
 * posted a batch at a time. The upper half of a record's id is its number, which frees it and all before
 * it when it completes; the lower half is the user's tag.
 */
abstract class RequestRing {
  /** Requests that may be in flight. */
  readonly entries: number;
  /** When what flush() posted last had been handed over, as readTime() takes it. */
  readonly postedAt: Uint32Array;
  protected readonly words: Uint32Array;
  protected readonly strideWords: number;
  protected readonly mask: number;
  /** Gather entries of a request, at most. */
  readonly #maxSge: number;
  readonly #post: Post;
  /** Words of what lies behind the records: PostCall. */
  readonly #first: number;
  readonly #count: number;
  readonly #taken: number;
  /** The first that has not completed, the first that is not posted, the next to be written. */
  #head = 0;
  #posted = 0;
  protected tail = 0;

  constructor(memory: NativeMemory, { entries, stride, maxSge }: RingShape, post: Post) {
    this.words = new Uint32Array(memory.buffer);
    this.strideWords = stride / 4;
    this.#maxSge = maxSge;
    this.entries = entries;
    // As the addon rounds it up; the memory, in whole pages, may have room for more. Of a power V8 would
    // keep a double, and convert it for each request.
    this.mask = (1 << Math.ceil(Math.log2(Math.max(entries, 1)))) - 1;
    this.#post = post;
    const call = this.records * this.strideWords;
    this.#first = call + POST_FIRST;
    this.#count = call + POST_COUNT;
    this.#taken = call + POST_TAKEN;
    this.postedAt = this.words.subarray(call + CALL_TIME, call + CALL_TIME + 2);
  }

  /** How many there are before the first one is written again. */
  get records(): number {
    return this.mask + 1;
  }

  /** How many more may be written. */
  get room(): number {
    return this.entries - ((this.tail - this.#head) & NUMBER);
  }

  /** How many are written and not posted. */
  get unposted(): number {
    return (this.tail - this.#posted) & NUMBER;
  }

  /** How many were posted and have not completed, or are not known to, as they are not signaled. */
  get inFlight(): number {
    return (this.#posted - this.#head) & NUMBER;
  }

  /**
   * Posts what was written. 0; or the errno, negated, with which the next one was refused: it and those
   * after it stay written. ENOMEM (12): the device's own queue is full.
   */
  flush(): number {
    for (;;) {
      const count = this.unposted;
      if (count === 0) return 0;
      const { words } = this;
      words[this.#first] = this.#posted;
      words[this.#count] = count;
      this.#post();
      const taken = words[this.#taken]! | 0;
      if (taken <= 0) return taken;
      this.#posted = (this.#posted + taken) & NUMBER;
    }
  }

  /** Request `number` has completed, and with it all before it (InfiniBand 1.4 §10.8.3.1). */
  completed(number: number): void {
    this.#head = (number + 1) & NUMBER;
  }

  /**
   * Counts one more entry of what was written last, and gives the word where it goes. `sgeCount`, `sges`:
   * words of a record of this kind. Errors: TOO_MANY_SEGMENTS.
   */
  protected addSge(sgeCount: number, sges: number): number {
    const at = ((this.tail - 1) & this.mask) * this.strideWords;
    const count = this.words[at + sgeCount]!;
    if (count >= this.#maxSge) throw tooMany(this.#maxSge);
    this.words[at + sgeCount] = count + 1;
    return at + sges + count * SGE_WORDS;
  }

  protected writeSge(at: number, address: number, length: number, key: number): void {
    const { words } = this;
    words[at] = address; // a store keeps the lower half
    words[at + 1] = address / HIGH;
    words[at + 2] = length;
    words[at + 3] = key;
  }
}

/** Words of an entry of a table of places. */
const PLACES_WORDS = 6;

/**
 * A table for SendRing.writeBetween(): from where to where requests go, by index. `stride`: bytes from one
 * to the next. Addresses are safe integers.
 */
export function placesOf(
  count: number,
  local: { address: number; lkey: number; stride: number },
  remote: { address: number; rkey: number; stride: number },
): Uint32Array {
  const table = new Uint32Array(count * PLACES_WORDS);
  for (let index = 0; index < count; index++) {
    const from = local.address + index * local.stride;
    const to = remote.address + index * remote.stride;
    // A store keeps the lower half.
    table.set([from, from / HIGH, local.lkey, to, to / HIGH, remote.rkey], index * PLACES_WORDS);
  }
  return table;
}

/** See RequestRing. Addresses are safe integers; lengths are bytes. */
export class SendRing extends RequestRing {
  /** Bytes that a request may carry inline. */
  readonly maxInline: number;

  constructor(memory: NativeMemory, shape: RingShape, maxInline: number, post: Post) {
    super(memory, shape, post);
    this.maxInline = maxInline;
  }

  /**
   * Writes a request of one gather entry, or of none where `length` is 0, without looking for room.
   * `flags`: SendFlag. `remote` and `rkey` count for reads and writes, `immediate` for what has one.
   */
  write(
    tag: number,
    opcode: number,
    flags: number,
    address: number,
    length: number,
    lkey: number,
    remote = 0,
    rkey = 0,
    immediate = 0,
  ): void {
    const { words, tail } = this;
    const at = (tail & this.mask) * this.strideWords;
    words[at + SEND_ID] = tag;
    words[at + SEND_ID + 1] = tail;
    words[at + SEND_OPCODE] = opcode;
    words[at + SEND_FLAGS] = flags;
    words[at + SEND_IMMEDIATE] = immediate;
    words[at + SEND_SGE_COUNT] = length > 0 ? 1 : 0;
    words[at + SEND_REMOTE_ADDRESS] = remote;
    words[at + SEND_REMOTE_ADDRESS + 1] = remote / HIGH;
    words[at + SEND_RKEY] = rkey;
    this.writeSge(at + SEND_SGES, address, length, lkey);
    this.tail = (tail + 1) & NUMBER;
  }

  /**
   * The same, between the places that `table` has at `index`: see placesOf(). For loops: numbers beyond 31
   * bits that are arguments are garbage wherever V8 does not inline the call.
   */
  writeBetween(
    table: Uint32Array,
    index: number,
    tag: number,
    opcode: number,
    flags: number,
    length: number,
    immediate = 0,
  ): void {
    const { words, tail } = this;
    const from = index * PLACES_WORDS;
    const at = (tail & this.mask) * this.strideWords;
    const sge = at + SEND_SGES;
    words[at + SEND_ID] = tag;
    words[at + SEND_ID + 1] = tail;
    words[at + SEND_OPCODE] = opcode;
    words[at + SEND_FLAGS] = flags;
    words[at + SEND_IMMEDIATE] = immediate;
    words[at + SEND_SGE_COUNT] = length > 0 ? 1 : 0;
    words[at + SEND_REMOTE_ADDRESS] = table[from + 3]!;
    words[at + SEND_REMOTE_ADDRESS + 1] = table[from + 4]!;
    words[at + SEND_RKEY] = table[from + 5]!;
    words[sge] = table[from]!;
    words[sge + 1] = table[from + 1]!;
    words[sge + 2] = length;
    words[sge + 3] = table[from + 2]!;
    this.tail = (tail + 1) & NUMBER;
  }

  /**
   * The same with the data itself in the request: the CPU takes it at the next flush(), after which the
   * memory may change. MemoryRegion.inlineAddress() has the address. Errors: BAD_ARGUMENT, where it is
   * longer than maxInline.
   */
  writeInline(
    tag: number,
    opcode: number,
    flags: number,
    address: InlineAddress,
    length: number,
    remote = 0,
    rkey = 0,
    immediate = 0,
  ): void {
    if (length > this.maxInline) throw tooLong(length, this.maxInline);
    this.write(tag, opcode, flags | SEND_INLINE, address, length, 0, remote, rkey, immediate);
  }

  /**
   * Writes the same as when this record was written last, `records` requests ago; only the number changes.
   * For loops that send one request again and again.
   */
  repeat(): void {
    const { tail } = this;
    this.words[(tail & this.mask) * this.strideWords + SEND_NUMBER] = tail;
    this.tail = (tail + 1) & NUMBER;
  }

  /** Adds a gather entry to what write() wrote last, never to an inline one. Errors: TOO_MANY_SEGMENTS. */
  gather(address: number, length: number, lkey: number): void {
    this.writeSge(this.addSge(SEND_SGE_COUNT, SEND_SGES), address, length, lkey);
  }
}

/** See RequestRing. */
export class ReceiveRing extends RequestRing {
  /** Writes a request of one scatter entry, or of none where `length` is 0, without looking for room. */
  write(tag: number, address: number, length: number, lkey: number): void {
    const { words, tail } = this;
    const at = (tail & this.mask) * this.strideWords;
    words[at + RECEIVE_ID] = tag;
    words[at + RECEIVE_ID + 1] = tail | IS_RECEIVE;
    words[at + RECEIVE_SGE_COUNT] = length > 0 ? 1 : 0;
    this.writeSge(at + RECEIVE_SGES, address, length, lkey);
    this.tail = (tail + 1) & NUMBER;
  }

  /** Adds a scatter entry to what write() wrote last. Errors: TOO_MANY_SEGMENTS. */
  scatter(address: number, length: number, lkey: number): void {
    this.writeSge(this.addSge(RECEIVE_SGE_COUNT, RECEIVE_SGES), address, length, lkey);
  }
}

function tooLong(length: number, maxInline: number): P2pError {
  return new P2pError(
    "BAD_ARGUMENT",
    `a request of this queue pair carries up to ${maxInline} bytes inline, not ${length}`,
    { hint: "create the queue pair with more inlineBytes, or send it without INLINE" },
  );
}

function tooMany(maxSge: number): P2pError {
  return new P2pError("TOO_MANY_SEGMENTS", `a request has ${maxSge} gather entries, at most`, {
    hint: "create the queue pair with more of them, or transfer it in several parts",
  });
}
