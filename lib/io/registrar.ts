import { addon, type NativeMemory, type NativeRegistrar } from "../addon.js";
import type { DataPointerBuilder } from "../nvme/descriptors/data-pointer.js";
import type { ListMemory } from "../nvme/descriptors/lists.js";
import { PrpBuilder } from "../nvme/descriptors/prp.js";
import { SglBuilder } from "../nvme/descriptors/sgl.js";
import type { Bdf } from "../pci/bdf.js";
import { DmaVector } from "../sgl/dma-vector.js";
import { NO_LISTS, type SlotLayout } from "./pointers.js";

/** The memory of a queue's slots that is mapped for each I/O: see Registrar. */
export interface RegistrarJob {
  device: Bdf;
  /** Null where the memory keeps its addresses, so that nothing is mapped. */
  addressSpaceId: number | null;
  memoryId: number;
  /** Bytes from the start of the memory to the first slot, and its IOVA. */
  memoryOffset: number;
  iova: number;
  /** In the vector of the slots, whose first byte is the first slot's. */
  layout: SlotLayout;
  descriptors: "prp" | "sgl";
  /** Memory of the lists, and bytes from one to the next; null where no command needs one. */
  lists: { memoryId: number; iova: number; stride: number } | null;
}

/**
 * Maps a slot's memory in the IOMMU and builds its data pointers before an I/O, and unmaps it after: what
 * a driver does that registers memory for each I/O. It calls native code for each, which is what is
 * measured by it. An I/O that never completes stays mapped; whoever reserved the IOVAs unmaps it, once
 * its queue has been deleted.
 */
export class Registrar {
  readonly #native: NativeRegistrar | null;
  readonly #listMemory: NativeMemory | null;
  readonly #builder: DataPointerBuilder;
  readonly #vector: DmaVector;
  readonly #job: RegistrarJob;
  /** Of an I/O of full length. */
  readonly #commands: number;
  readonly #listStride: number;

  /** Errors: GONE. */
  constructor(job: RegistrarJob) {
    const { lists, layout } = job;
    this.#job = job;
    this.#native =
      job.addressSpaceId === null ? null : addon().openRegistrar(job.addressSpaceId, job.memoryId);
    this.#listMemory = lists === null ? null : addon().openMemory(lists.memoryId);
    const memory: ListMemory =
      lists === null || this.#listMemory === null
        ? NO_LISTS
        : { buffer: this.#listMemory.buffer, iova: lists.iova };
    this.#builder = job.descriptors === "sgl" ? new SglBuilder(memory) : new PrpBuilder(memory);
    this.#vector = slotVector(job.device, job.iova, layout);
    this.#commands = Math.ceil(layout.ioBytes / layout.commandBytes);
    this.#listStride = lists?.stride ?? 0;
  }

  /**
   * An I/O of so many bytes is about to be submitted from `slot`: its data pointers go to their place in
   * `pointers`, where all I/Os are of this length. Errors: those of NativeAddressSpace.map().
   */
  begin(slot: number, ioBytes: number, pointers: Int32Array): void {
    const { stride, commandBytes } = this.#job.layout;
    const start = slot * stride;
    this.#native?.map(this.#job.memoryOffset + start, stride, this.#job.iova + start);
    const commands = Math.ceil(ioBytes / commandBytes);
    const builder = this.#builder;
    let word = slot * commands * 4;
    for (let command = 0; command < commands; command++) {
      const at = command * commandBytes;
      const length = ioBytes - at < commandBytes ? ioBytes - at : commandBytes;
      const list = (slot * this.#commands + command) * this.#listStride;
      builder.build(this.#vector, start + at, length, list, this.#listStride);
      pointers[word] = builder.word0;
      pointers[word + 1] = builder.word1;
      pointers[word + 2] = builder.word2;
      pointers[word + 3] = builder.word3;
      word += 4;
    }
  }

  /** All commands of the I/O of `slot` have completed. Errors: those of NativeAddressSpace.unmap(). */
  end(slot: number): void {
    const { stride } = this.#job.layout;
    this.#native?.unmap(this.#job.iova + slot * stride, stride);
  }

  close(): void {
    this.#native?.close();
    this.#listMemory?.close();
  }
}

/** The addresses of slots that are mapped one by one. */
export function slotVector(device: Bdf, iova: number, { slots, stride }: SlotLayout): DmaVector {
  return new DmaVector({
    client: device,
    addresses: Float64Array.of(iova),
    lengths: Float64Array.of(slots * stride),
    byteLength: slots * stride,
    mapType: null,
    memory: [],
    onUnmap: () => undefined,
  });
}
