import type { NativeMemory, NativeRegion } from "../../addon.js";
import type { Bdf } from "../../pci/bdf.js";
import { controllerError } from "../lifecycle.js";
import type { Capabilities } from "../registers.js";
import { PAGE, Register } from "../spec.js";

/**
 * The doorbell registers (NVMe 1.4 §3.1.24, §3.1.25), mapped as far as queue pairs may use them and
 * no further: in the same BAR there may be an MSI-X table.
 */
export class Doorbells {
  readonly #bar0: NativeRegion;
  readonly #pairBytes: number;
  readonly #room: number;
  #memory: NativeMemory;

  /** Maps those of the admin queue. Errors: UNSUPPORTED, if they cannot be mapped. */
  constructor(bar0: NativeRegion, capabilities: Capabilities, device: Bdf) {
    this.#bar0 = bar0;
    this.#pairBytes = capabilities.sqDoorbell(1);
    const extent = bar0.mappable.find(
      ({ offset, length }) => offset <= Register.SQ0TDBL && offset + length > Register.SQ0TDBL,
    );
    this.#room = extent ? extent.offset + extent.length - Register.SQ0TDBL : 0;
    if (this.pairs < 1)
      throw controllerError(device, "UNSUPPORTED", "its doorbells cannot be mapped");
    this.#memory = this.#map(1);
  }

  /** Queue pairs that there can be doorbells for, that of the admin queue included. */
  get pairs(): number {
    return Math.floor(this.#room / this.#pairBytes);
  }

  /** From SQ0TDBL on. */
  get memory(): NativeMemory {
    return this.#memory;
  }

  /** Maps those of more queue pairs, the admin queue included. No I/O queue may exist yet. */
  extend(pairs: number): void {
    if (pairs * this.#pairBytes <= this.#memory.size) return;
    const memory = this.#map(pairs);
    this.#memory.close();
    this.#memory = memory;
  }

  close(): void {
    this.#memory.close();
  }

  #map(pairs: number): NativeMemory {
    return this.#bar0.map(Register.SQ0TDBL, Math.ceil((pairs * this.#pairBytes) / PAGE) * PAGE);
  }
}
