import { P2pError } from "../errors.js";

const LF = 0x0a;

/** Cuts what comes in, in pieces of any size, into lines. */
export class Lines {
  /** Bytes of a line, with its end, at most. */
  limit: number;
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Gives each line that is complete, without its end. Errors: BAD_MESSAGE: too long, or not UTF-8. */
  *push(piece: Uint8Array): Generator<string> {
    let start = 0;
    for (;;) {
      const end = piece.indexOf(LF, start);
      const length = (end === -1 ? piece.length : end + 1) - start;
      if (this.#bytes + length > this.limit)
        throw new P2pError("BAD_MESSAGE", `a line of more than ${this.limit} bytes`);
      this.#parts.push(piece.subarray(start, start + length));
      this.#bytes += length;
      if (end === -1) return;
      start = end + 1;
      yield this.#take();
    }
  }

  #take(): string {
    const line = Buffer.concat(this.#parts);
    this.#parts.length = 0;
    this.#bytes = 0;
    try {
      return this.#decoder.decode(line.subarray(0, -1));
    } catch {
      throw new P2pError("BAD_MESSAGE", "a line that is not UTF-8");
    }
  }
}
