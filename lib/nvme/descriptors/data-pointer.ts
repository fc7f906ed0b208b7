/**
 * The data pointer of a command (NVMe 1.4 §4.2: DPTR, dwords 6 to 9): PRPs or an SGL, which bits 15:14
 * of dword 0 (PSDT) tell apart. SGLs are for I/O commands alone: over PCIe admin commands take PRPs.
 */
import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import type { DmaVector } from "../../sgl/dma-vector.js";
import { PAGE, SQE_PSDT_SGL } from "../spec.js";
import { AutoBuilder, isShorterAsSgl } from "./auto.js";
import { checkPart, type ListMemory } from "./lists.js";
import { checkPrp, isSaidByPrps, PrpBuilder, prpListBytes } from "./prp.js";
import { checkSgl, countPieces, SglBuilder, sglListBytes, sglPieces } from "./sgl.js";
import type { SglSupport } from "./sgl-support.js";

/** `auto`: SGLs where the controller takes them and they are shorter, or the only way to say it. */
export type Descriptors = "auto" | "prp" | "sgl";

export const DESCRIPTORS: readonly Descriptors[] = ["auto", "prp", "sgl"];

/** Builds one data pointer after another, without allocating. */
export interface DataPointerBuilder {
  /** Dwords 6 to 9 of the command, as signed 32-bit integers. */
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;
  /** What goes into dword 0 beside the opcode. */
  readonly flags: number;
  /**
   * Of `length` bytes of `vector` from `offset` on, as many as a list of `listBytes` can describe;
   * `isPart`: with something thrown away before or after.
   */
  fit(
    vector: DmaVector,
    offset: number,
    length: number,
    listBytes: number,
    isPart: boolean,
  ): number;
  /**
   * Describes `length` bytes of `vector` from `offset` on. A list, if one is needed, goes to
   * `listOffset` of the list memory and takes at most `listBytes` there. Bytes of a read that come
   * `lead` before and `trail` after them are thrown away, for which SGLs are needed.
   */
  build(
    vector: DmaVector,
    offset: number,
    length: number,
    listOffset: number,
    listBytes: number,
    lead?: number,
    trail?: number,
  ): void;
}

/** What check() must know of the commands. Bytes. */
export interface CommandShape {
  blockSize: number;
  maxTransfer: number;
  /** Not all of the blocks is wanted; of the first not the first `skip` bytes. */
  isPart?: boolean;
  skip?: number;
}

/** How the I/O commands of one controller say where their data is. */
export class DataPointers {
  readonly #device: Bdf;
  readonly #support: SglSupport;
  /** `auto` only where there is a choice. */
  readonly #choice: Descriptors;

  /** Errors: BAD_ARGUMENT. */
  constructor(device: Bdf, support: SglSupport, choice: Descriptors = "auto") {
    if (!DESCRIPTORS.includes(choice))
      throw new P2pError("BAD_ARGUMENT", `there are no descriptors "${choice as string}"`, {
        hint: `there are ${DESCRIPTORS.join(", ")}`,
      });
    this.#device = device;
    this.#support = support;
    this.#choice = choice === "auto" && support.alignment === "none" ? "prp" : choice;
  }

  /** The same with another choice, if one is given. Errors: BAD_ARGUMENT. */
  choose(choice: Descriptors | undefined): DataPointers {
    return choice === undefined ? this : new DataPointers(this.#device, this.#support, choice);
  }

  /** The same where one kind is for all commands: what suits `length` bytes at `offset` best. */
  settle(vector: DmaVector, offset: number, length: number): DataPointers {
    if (this.#choice !== "auto") return this;
    const byPrps = isSaidByPrps(vector, offset, length) && !isShorterAsSgl(vector, offset, length);
    return this.choose(byPrps ? "prp" : "sgl");
  }

  /** Errors: UNSUPPORTED, where SGLs are wanted and not to be had. */
  assertSupported(): void {
    if (this.#choice !== "sgl" || this.#support.alignment !== "none") return;
    const device = this.#device;
    throw new P2pError("UNSUPPORTED", `${device} takes no SGLs (Identify Controller, SGLS)`, {
      device,
      hint: "use PRPs: --descriptors prp, or auto",
    });
  }

  /** What every command's dword 0 has beside the opcode. For settled ones: `auto` may take either. */
  get flags(): number {
    return this.#choice === "sgl" ? SQE_PSDT_SGL : 0;
  }

  /** Whether part of a block can be read. */
  get hasBitBucket(): boolean {
    return this.#choice !== "prp" && this.#support.hasBitBucket;
  }

  /** Bytes to set aside for the list of a command that moves up to `maxTransfer` bytes of any data. */
  listBytes(maxTransfer: number): number {
    // SGLs have a page of descriptors. Data in more pieces takes more commands.
    return Math.max(prpListBytes(maxTransfer), this.#choice === "prp" ? 0 : PAGE);
  }

  /** The same for a transfer that is known; likewise. */
  listBytesFor(vector: DmaVector, offset: number, length: number): number {
    if (this.#choice === "prp") return prpListBytes(length);
    return sglListBytes(countPieces(vector, offset, length));
  }

  /**
   * Whether commands of whole blocks, with lists of listBytes(maxTransfer), can describe these bytes.
   * Errors: those of assertSupported(); BAD_RANGE; UNALIGNED; TOO_MANY_SEGMENTS, where a block is scattered over hundreds of pieces.
   */
  check(
    vector: DmaVector,
    offset: number,
    length: number,
    { blockSize, maxTransfer, isPart = false, skip = 0 }: CommandShape,
  ): void {
    this.assertSupported();
    if (this.#choice === "prp") {
      checkPrp(vector, offset, length);
      return;
    }
    checkPart(vector, offset, length);
    if (this.#choice === "auto" && !isPart && isSaidByPrps(vector, offset, length)) return;
    const maxPieces = sglPieces(this.listBytes(maxTransfer));
    const { alignment } = this.#support;
    checkSgl(vector, offset, length, { alignment, blockSize, skip, maxPieces });
  }

  builder(lists: ListMemory): DataPointerBuilder {
    if (this.#choice === "auto") return new AutoBuilder(lists);
    return this.#choice === "sgl" ? new SglBuilder(lists) : new PrpBuilder(lists);
  }
}
