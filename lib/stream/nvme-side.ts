import { mapShapes } from "../io/mapped-side.js";
import type { SideJob } from "../io/side.js";
import type { NvmeController } from "../nvme/controller.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import { IoOpcode } from "../nvme/spec.js";
import type { Session } from "../session.js";
import { tryAll } from "../try-all.js";
import type { CheckedEnd } from "./check.js";
import type { StreamEndPlan } from "./plan.js";
import type { SlotMemory } from "./slot-memory.js";

/** What one end has of its NVMe controller: a queue pair, and pointers to its slots. */
export class NvmeSide {
  readonly controller: NvmeController;
  readonly queue: QueuePairHandle;
  readonly #side: Omit<SideJob, "lba">;
  readonly #lba: number;
  readonly #blocks: number;
  readonly #lists: (() => void)[];

  /** Errors: NO_QUEUE, NO_MEMORY, MEMLOCK, those of building data pointers and of admin commands. */
  static async open(
    session: Session,
    { role, endpoint, bs }: StreamEndPlan,
    { namespace, commandBytes, lastBlockBytes, stride }: CheckedEnd,
    { vector, count }: SlotMemory,
  ): Promise<NvmeSide> {
    const { controller, nsid, blockSize } = namespace;
    const lists: (() => void)[] = [];
    try {
      const { flags, ...shapes } = mapShapes(
        namespace,
        vector,
        { offset: 0, slots: count, stride, ioBytes: bs, commandBytes },
        { lastBytes: lastBlockBytes },
        (size) => {
          const buffer = session.addressSpace.allocate(size);
          lists.push(() => {
            buffer.close();
          });
          return buffer;
        },
      );
      const depth = count * Math.ceil(bs / commandBytes) + 1;
      const queue = await controller.createQueuePair({ depth });
      const opcode = (role === "source" ? IoOpcode.READ : IoOpcode.WRITE) | flags;
      const side = {
        ...{ queue, timeoutNs: controller.timeout * 1e6, opcode, nsid },
        ...{ commandBlocks: commandBytes / blockSize, ...shapes, registrar: null },
      };
      return new NvmeSide(controller, side, endpoint.offset / blockSize, bs / blockSize, lists);
    } catch (error) {
      tryAll(lists);
      throw error;
    }
  }

  private constructor(
    controller: NvmeController,
    side: Omit<SideJob, "lba">,
    lba: number,
    blocks: number,
    lists: (() => void)[],
  ) {
    this.controller = controller;
    this.queue = side.queue;
    this.#side = side;
    this.#lba = lba;
    this.#blocks = blocks;
    this.#lists = lists;
  }

  /** For a reactor that counts blocks from `first` on. */
  job(first: number): SideJob {
    return { ...this.#side, lba: this.#lba + first * this.#blocks };
  }

  /** No reactor may run. What was in flight goes along. Errors: those of admin commands. */
  deleteQueue(): Promise<void> {
    return this.controller.deleteQueuePair(this.queue.qid);
  }

  /** Once the queue is deleted. */
  freeLists(): void {
    tryAll(this.#lists.splice(0));
  }
}
