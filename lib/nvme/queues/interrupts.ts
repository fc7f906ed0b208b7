import type { NativeDevice } from "../../addon.js";
import type { Bdf } from "../../pci/bdf.js";
import { controllerError } from "../lifecycle.js";

/**
 * MSI-X vectors of a controller's completion queues (NVMe 1.4 §7.5): 0 for the admin queue, the
 * others in turn for I/O queues, which share them where there are more queues. An interrupt tells no
 * queue from another: whoever shares a vector looks.
 */
export class Interrupts {
  readonly #native: NativeDevice;
  readonly #device: Bdf;
  /** Queue ids by vector, for vectors that are in use. */
  readonly #queues = new Map<number, Set<number>>();
  readonly #handlers = new Map<number, () => void>();

  constructor(native: NativeDevice, device: Bdf) {
    this.#native = native;
    this.#device = device;
  }

  /**
   * The vector for a queue that is about to be created, switched on: a controller may look at that
   * when it creates the queue. Errors: UNSUPPORTED, where the device has no MSI-X; IO.
   */
  enable(qid: number): number {
    const { msixVectors } = this.#native;
    if (msixVectors === 0)
      throw controllerError(this.#device, "UNSUPPORTED", "it has no MSI-X interrupts");
    const shared = msixVectors - 1;
    const vector = qid === 0 || shared === 0 ? 0 : 1 + ((qid - 1) % shared);
    const queues = this.#queues.get(vector) ?? new Set();
    if (queues.size === 0)
      this.#native.onInterrupt(vector, () => {
        for (const one of queues) this.#handlers.get(one)?.();
      });
    this.#queues.set(vector, queues.add(qid));
    return vector;
  }

  /** Calls `handler` at each interrupt that may be this queue's; null: no more. */
  listen(qid: number, handler: (() => void) | null): void {
    if (handler) this.#handlers.set(qid, handler);
    else this.#handlers.delete(qid);
  }

  /**
   * The queue raises no interrupts any more. Its vector is switched off with its last queue; that it
   * cannot be, where the device is gone, does no harm.
   */
  disable(qid: number): void {
    this.#handlers.delete(qid);
    for (const [vector, queues] of this.#queues)
      if (queues.delete(qid) && queues.size === 0) {
        this.#queues.delete(vector);
        try {
          this.#native.onInterrupt(vector, null);
        } catch {
          // Closing the device switches off what is left.
        }
      }
  }
}
