import { addon } from "../addon.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { Window, windowBytesFor } from "../verify/window.js";
import type { BlockSpan } from "./windows.js";

/** What a transfer does with the namespace at its end, beside the stream. */
export interface Volume {
  /** Bytes that were read into host memory to be looked at. */
  readonly verifiedBytes: number;
  /** CRC-32C of each of the blocks, as the namespace gives them now. */
  sums(window: BlockSpan): Promise<Uint32Array>;
  /** Makes what was written durable. */
  flush(): Promise<void>;
  close(): void;
}

/** `size` bytes from byte `offset` of a namespace on, in blocks of `bs`: the last one may be shorter. */
export class NamespaceVolume implements Volume {
  verifiedBytes = 0;
  readonly #session: Session;
  readonly #namespace: NvmeNamespace;
  readonly #range: { offset: number; size: number; bs: number };
  #window: Window | undefined;

  constructor(
    session: Session,
    namespace: NvmeNamespace,
    range: { offset: number; size: number; bs: number },
  ) {
    this.#session = session;
    this.#namespace = namespace;
    this.#range = range;
  }

  /** One call at a time. Errors: NO_MEMORY, MEMLOCK; those of reading. */
  async sums({ first, count }: BlockSpan): Promise<Uint32Array> {
    const { offset, size, bs } = this.#range;
    const windowBytes = windowBytesFor(bs);
    this.#window ??= new Window(this.#session, this.#namespace, offset, windowBytes);
    const { bytes } = this.#window;
    const sums = new Uint32Array(count);
    const end = Math.min(size, (first + count) * bs);
    let index = 0;
    for (let at = first * bs; at < end; at += windowBytes) {
      const length = Math.min(windowBytes, end - at);
      await this.#window.read(at, length);
      this.verifiedBytes += length;
      for (let start = 0; start < length; start += bs)
        sums[index++] = addon().crc32c(bytes.subarray(start, Math.min(start + bs, length)));
    }
    return sums;
  }

  flush(): Promise<void> {
    return this.#namespace.flush();
  }

  close(): void {
    this.#window?.[Symbol.dispose]();
    this.#window = undefined;
  }
}
