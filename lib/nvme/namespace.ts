import { P2pError } from "../errors.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import type { NvmeController } from "./controller.js";
import { copyBlocks, type CopySource } from "./commands/copy-blocks.js";
import type { CopyFormat, CopyLimits } from "./commands/copy.js";
import type { NamespaceIdentity } from "./admin/identify.js";
import { batchRanges, writeRanges, type BlockRange } from "./dataset.js";
import type { IoRequest } from "./queues/io-queue.js";
import { CDW12, DLFEAT, DSM, IoOpcode } from "./spec.js";

/** A namespace: an array of blocks. `Address`: its controller's, see ForDevice. */
export class NvmeNamespace<Address extends string = string> {
  readonly controller: NvmeController<Address>;
  readonly nsid: number;
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  /** Bytes of metadata for each block. p2pmem transfers data only of formats that have none. */
  readonly metadataSize: number;
  readonly identity: NamespaceIdentity;
  /** What one Copy command into it may hold. */
  readonly copyLimits: CopyLimits;
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
    this.identity = identity;
    this.copyLimits = identity.copyLimits;
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
    await this.#transfer("Read", IoOpcode.READ, lba, blocks, target, {
      part: { skip, length },
    });
  }

  /**
   * Writes blocks from the start of `source`; with `fua` (Force Unit Access) they are durable when
   * this ends, without a flush. Errors: as read(); WRITE_NOT_ALLOWED.
   */
  async write(
    lba: number,
    blocks: number,
    source: DmaVector<Address>,
    { fua = false } = {},
  ): Promise<void> {
    this.#assertWritable();
    await this.#transfer("Write", IoOpcode.WRITE, lba, blocks, source, {
      flags: fua ? CDW12.FUA : 0,
    });
  }

  /**
   * Sets blocks to zeros without transferring any (NVMe 1.4 §6.16), in as many commands as that
   * takes. With `deallocate` the controller may deallocate them, too.
   * Errors: UNSUPPORTED; otherwise as write().
   */
  async writeZeroes(
    lba: number,
    blocks: number,
    { deallocate = false, fua = false } = {},
  ): Promise<void> {
    this.#assertWritable();
    if (!this.controller.identity.hasWriteZeroes)
      throw this.#refuse("UNSUPPORTED", "its controller has no Write Zeroes command");
    if (deallocate && (this.identity.fields.dlfeat & DLFEAT.DEAC) === 0)
      throw this.#refuse("UNSUPPORTED", "its Write Zeroes does not deallocate (DLFEAT bit 3)");
    this.#assertRange("Write Zeroes", lba, blocks);
    const { nsid, blockSize } = this;
    const { zeroedBytes } = await this.controller.nvmLimits();
    const queue = await this.controller.ioQueue();
    await queue.run({
      name: "Write Zeroes",
      opcode: IoOpcode.WRITE_ZEROES,
      nsid,
      lba,
      blocks,
      blockSize,
      data: null,
      flags: (deallocate ? CDW12.DEAC : 0) | (fua ? CDW12.FUA : 0),
      maxBlocks: Math.max(1, Math.floor(zeroedBytes / blockSize)),
    });
  }

  /**
   * Tells the controller that what the ranges hold is not needed any more (Dataset Management, NVMe
   * 1.4 §6.7). What they read as afterwards DLFEAT says. It is advice: nothing need happen.
   * Errors: UNSUPPORTED; otherwise as write().
   */
  async deallocate(ranges: readonly BlockRange[]): Promise<void> {
    this.#assertWritable();
    if (!this.controller.identity.hasDatasetManagement)
      throw this.#refuse("UNSUPPORTED", "its controller has no Dataset Management command");
    for (const { lba, blocks } of ranges) this.#assertRange("Deallocate", lba, blocks);
    const batches = batchRanges(ranges, await this.controller.nvmLimits());
    const queue = await this.controller.ioQueue();
    const { addressSpace } = this.controller;
    const buffer = addressSpace.allocate(DSM.MAX_RANGES * DSM.RANGE_BYTES);
    try {
      const list = new ScatterList(addressSpace).addHost(buffer);
      const vector = list.map(this.controller);
      try {
        for (const batch of batches) {
          writeRanges(new DataView(buffer.buffer), batch);
          await queue.run(this.#datasetManagement(batch, vector));
        }
      } finally {
        vector.unmap();
      }
    } finally {
      buffer.close();
    }
  }

  /** The controller compares blocks with `expected`: NVME_STATUS (Compare Failure) if they differ. */
  async compare(lba: number, blocks: number, expected: DmaVector<Address>): Promise<void> {
    if (!this.controller.identity.hasCompare)
      throw this.#refuse("UNSUPPORTED", "its controller has no Compare command");
    await this.#transfer("Compare", IoOpcode.COMPARE, lba, blocks, expected);
  }

  /**
   * Has the controller copy blocks into this namespace, range after range, to `lba` on: no data goes
   * anywhere (NVM Command Set 1.0 §3.2.2). As many commands as the limits take, one after the other;
   * `format`: that of their descriptors, by default the shortest that does.
   * Errors: UNSUPPORTED; BAD_RANGE, METADATA_FORMAT; OVERLAP, since the result would be undefined;
   * WRITE_NOT_ALLOWED; those of read(), after which a part may have been copied.
   */
  async copy(
    ranges: readonly CopySource[],
    lba: number,
    { format }: { format?: CopyFormat } = {},
  ): Promise<void> {
    this.#assertWritable();
    await copyBlocks(this, ranges, lba, format);
  }

  /** Makes what has been written durable (NVMe 1.4 §6.8). */
  async flush(): Promise<void> {
    const queue = await this.controller.ioQueue();
    const { nsid, blockSize } = this;
    // A Flush has no data; one block stands for its one command, and leaves CDW12 zero.
    await queue.run({
      name: "Flush",
      what: "Flush",
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
    rest: Pick<IoRequest, "part" | "flags"> = {},
  ): Promise<void> {
    this.#assertRange(name, lba, blocks);
    const { controller, nsid, blockSize } = this;
    const { maxTransfer } = controller;
    const { part } = rest;
    controller.dataPointers.check(data, 0, part?.length ?? blocks * blockSize, {
      blockSize,
      maxTransfer,
      ...(part && { isPart: true, skip: part.skip }),
    });
    const queue = await controller.ioQueue();
    await queue.run({ name, opcode, nsid, lba, blocks, blockSize, data, ...rest });
  }

  /** One command; its list of ranges is the one "block" of data that it has. */
  #datasetManagement(ranges: readonly BlockRange[], data: DmaVector): IoRequest {
    const [{ lba, blocks }] = ranges as [BlockRange];
    const all = ranges.length === 1 ? `blocks ${lba} to ${lba + blocks - 1}` : null;
    return {
      name: "Dataset Management",
      what: `Dataset Management (deallocate) of ${all ?? `${ranges.length} ranges from block ${lba} on`}`,
      opcode: IoOpcode.DATASET_MANAGEMENT,
      nsid: this.nsid,
      // CDW10 and CDW11 in the place of the first block: NR, 0's based, and the attributes.
      lba: ranges.length - 1 + DSM.AD * 2 ** 32,
      blocks: 1,
      blockSize: ranges.length * DSM.RANGE_BYTES,
      data,
    };
  }

  #assertWritable(): void {
    if (!this.#isWritable)
      throw this.#refuse("WRITE_NOT_ALLOWED", "writing to it was not allowed", {
        hint: "name the namespace: namespace.permitWrites() (command line: --allow-write)",
      });
  }

  /** Errors: METADATA_FORMAT, BAD_RANGE. */
  #assertRange(name: string, lba: number, blocks: number): void {
    this.assertPlainFormat();
    const isRange =
      Number.isSafeInteger(lba) && Number.isSafeInteger(blocks) && lba >= 0 && blocks >= 1;
    if (!isRange || lba + blocks > this.blocks)
      throw this.#refuse(
        "BAD_RANGE",
        `${name} of ${blocks} blocks from block ${lba} on, but it has ${this.blocks} blocks`,
      );
  }

  #refuse(code: string, why: string, details: { hint?: string } = {}): P2pError {
    const device = this.controller.address;
    return new P2pError(code, `namespace ${device}/${this.nsid}: ${why}`, { device, ...details });
  }
}
