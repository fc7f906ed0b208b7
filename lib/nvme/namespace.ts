import { P2pError } from "../errors.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import type { NvmeController } from "./controller.js";
import type { NamespaceIdentity } from "./admin/identify.js";
import { IoOpcode } from "./spec.js";

/** A namespace: an array of blocks. `Address`: its controller's, see ForDevice. */
export class NvmeNamespace<Address extends string = string> {
  readonly controller: NvmeController<Address>;
  readonly nsid: number;
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  /** Bytes of metadata for each block. p2pmem transfers data only of formats that have none. */
  readonly metadataSize: number;
  #isWritable: boolean;

  constructor(
    controller: NvmeController<Address>,
    nsid: number,
    identity: NamespaceIdentity,
    isWritable: boolean,
  ) {
    this.controller = controller;
    this.nsid = nsid;
    this.blockSize = identity.blockSize;
    this.blocks = identity.blocks;
    this.metadataSize = identity.metadataSize;
    this.#isWritable = isWritable;
  }

  /** Bytes. */
  get size(): number {
    return this.blocks * this.blockSize;
  }

  get isWritable(): boolean {
    return this.#isWritable;
  }

  /** Nothing on a real device is written unless it was named: this names it. */
  permitWrites(): void {
    this.#isWritable = true;
  }

  /**
   * Reads blocks into `target`, of which it fills the start.
   * Errors: BAD_RANGE, UNALIGNED, METADATA_FORMAT and those of DmaVector.assertUsableBy() before
   * anything is submitted; NVME_STATUS; CLOSED, TIMEOUT, DEVICE_GONE, CONTROLLER_FATAL,
   * BAD_COMPLETION.
   */
  async read(lba: number, blocks: number, target: DmaVector<Address>): Promise<void> {
    await this.#transfer("Read", IoOpcode.READ, lba, blocks, target);
  }

  /**
   * Reads `length` bytes from byte `offset` on into the start of `target`. They need not be whole
   * blocks: what else is in these the controller throws away (SGL bit buckets, NVMe 1.4 §4.4).
   * Errors: as read(); UNSUPPORTED, where it cannot, or is to use PRPs alone.
   */
  async readBytes(offset: number, length: number, target: DmaVector<Address>): Promise<void> {
    const { blockSize } = this;
    const lba = Math.floor(offset / blockSize);
    const skip = offset - lba * blockSize;
    const blocks = Math.ceil((skip + length) / blockSize);
    if (skip === 0 && length === blocks * blockSize) return this.read(lba, blocks, target);
    if (!Number.isSafeInteger(skip) || !Number.isSafeInteger(length))
      throw this.#refuse("BAD_RANGE", `there are no ${length} bytes at ${offset}`);
    if (!this.controller.dataPointers.hasBitBucket)
      throw this.#refuse("UNSUPPORTED", "reading parts of blocks takes SGLs with bit buckets", {
        hint: `read multiples of ${blockSize} bytes`,
      });
    await this.#transfer("Read", IoOpcode.READ, lba, blocks, target, { skip, length });
  }

  /** Writes blocks from the start of `source`. Errors: as read(); WRITE_NOT_ALLOWED. */
  async write(lba: number, blocks: number, source: DmaVector<Address>): Promise<void> {
    if (!this.#isWritable)
      throw this.#refuse("WRITE_NOT_ALLOWED", "writing to it was not allowed", {
        hint: "name the namespace: namespace.permitWrites() (command line: --allow-write)",
      });
    await this.#transfer("Write", IoOpcode.WRITE, lba, blocks, source);
  }

  /** The controller compares blocks with `expected`: NVME_STATUS (Compare Failure) if they differ. */
  async compare(lba: number, blocks: number, expected: DmaVector<Address>): Promise<void> {
    if (!this.controller.identity.hasCompare)
      throw this.#refuse("UNSUPPORTED", "its controller has no Compare command");
    await this.#transfer("Compare", IoOpcode.COMPARE, lba, blocks, expected);
  }

  /** Makes what has been written durable (NVMe 1.4 §6.8). */
  async flush(): Promise<void> {
    const queue = await this.controller.ioQueue();
    const { nsid, blockSize } = this;
    // A Flush has no data; one block stands for its one command, and leaves CDW12 zero.
    await queue.run({
      name: "Flush",
      opcode: IoOpcode.FLUSH,
      nsid,
      lba: 0,
      blocks: 1,
      blockSize,
      data: null,
    });
  }

  /** Errors: METADATA_FORMAT. */
  assertPlainFormat(): void {
    if (this.metadataSize > 0)
      throw this.#refuse(
        "METADATA_FORMAT",
        `it is formatted with ${this.metadataSize} bytes of metadata for each block`,
        { hint: "use a format without metadata: nvme format --lbaf" },
      );
  }

  async #transfer(
    name: string,
    opcode: number,
    lba: number,
    blocks: number,
    data: DmaVector<Address>,
    part?: { skip: number; length: number },
  ): Promise<void> {
    this.assertPlainFormat();
    const isRange =
      Number.isSafeInteger(lba) && Number.isSafeInteger(blocks) && lba >= 0 && blocks >= 1;
    if (!isRange || lba + blocks > this.blocks)
      throw this.#refuse(
        "BAD_RANGE",
        `${name} of ${blocks} blocks from block ${lba} on, but it has ${this.blocks} blocks`,
      );
    const { controller, nsid, blockSize } = this;
    const { maxTransfer } = controller;
    const length = part?.length ?? blocks * blockSize;
    controller.dataPointers.check(data, 0, length, {
      blockSize,
      maxTransfer,
      ...(part && { isPart: true, skip: part.skip }),
    });
    const queue = await controller.ioQueue();
    const request = { name, opcode, nsid, lba, blocks, blockSize, data };
    await queue.run(part ? { ...request, part } : request);
  }

  #refuse(code: string, why: string, details: { hint?: string } = {}): P2pError {
    const device = this.controller.address;
    return new P2pError(code, `namespace ${device}/${this.nsid}: ${why}`, { device, ...details });
  }
}
