import * as spec from "./spec.js";

/**
 * Configuration space, as much of it as could be read: sysfs gives users other than root the first
 * 64 bytes. Whatever lies beyond is undefined: not known, which is not the same as absent. Nothing is
 * known of a function that does not answer, either.
 */
export class ConfigSpace {
  readonly #bytes: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that could be read. */
  get size(): number {
    return this.#bytes.byteLength;
  }

  /**
   * False where reads end without a completion, which software sees as all ones (PCIe 6.0 §2.3.2): a
   * device in reset, or gone. The identifiers alone say nothing: a virtual function's are FFFFh.
   */
  get answers(): boolean {
    return this.read32(spec.PCI_CLASS_REVISION) !== 0xffffffff;
  }

  read8(offset: number): number | undefined {
    return this.#has(offset, 1) ? this.#bytes.getUint8(offset) : undefined;
  }

  read16(offset: number): number | undefined {
    return this.#has(offset, 2) ? this.#bytes.getUint16(offset, true) : undefined;
  }

  read32(offset: number): number | undefined {
    return this.#has(offset, 4) ? this.#bytes.getUint32(offset, true) : undefined;
  }

  /** Offset of a capability (PCI 3.0 §6.7); null: it has none; undefined: not known. */
  capability(id: number): number | null | undefined {
    const status = this.read16(spec.PCI_STATUS);
    if (status === undefined || !this.answers) return undefined;
    if ((status & spec.PCI_STATUS_CAP_LIST) === 0) return null;
    let at = this.read8(spec.PCI_CAPABILITY_LIST);
    // The bound is against a broken list that is a ring.
    for (let left = 48; left > 0; left--) {
      if (at === undefined) return undefined;
      at &= 0xfc;
      // Below the header's end no capability can be; 0 is the list's end.
      if (at < spec.PCI_STD_HEADER_SIZEOF) return null;
      const found = this.read8(at);
      if (found === undefined) return undefined;
      if (found === id) return at;
      at = this.read8(at + 1);
    }
    return null;
  }

  /** Offset of an extended capability (PCIe 6.0 §7.6); null: it has none; undefined: not known. */
  extendedCapability(id: number): number | null | undefined {
    // A conventional PCI function has no extended configuration space.
    const express = this.capability(spec.PCI_CAP_ID_EXP);
    if (express === null || express === undefined) return express;
    let at = spec.PCI_EXT_CAP_START;
    for (let left = 1024; left > 0; left--) {
      const header = this.read32(at);
      if (header === undefined) return undefined;
      // All ones: nobody answers there, whatever there may be.
      if (header === 0xffffffff) return undefined;
      if (header === 0) return null;
      if ((header & 0xffff) === id) return at;
      at = (header >>> 20) & 0xffc;
      if (at < spec.PCI_EXT_CAP_START) return null;
    }
    return null;
  }

  #has(offset: number, width: number): boolean {
    return offset + width <= this.#bytes.byteLength;
  }
}
