import {
  closeSync,
  fstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { P2pError } from "../errors.js";

const STDOUT = 1;

/**
 * Where results go: standard output, or a file. A file is opened before anything runs, so that one
 * that cannot be written is known then, and appears under its name only when it is complete.
 */
export class OutputFile {
  /** What is written to, and the name it gets at the end; null for what is no regular file. */
  readonly #temporary: { path: string; target: string } | null;
  readonly #fd: number;
  #open = true;

  /** `path` undefined: standard output. Errors: OUTPUT_FILE. */
  constructor(path: string | undefined) {
    if (path === undefined) {
      this.#fd = STDOUT;
      this.#temporary = null;
      return;
    }
    try {
      // A pipe or a device is written to as it is; a file keeps its place behind a symbolic link.
      const existing = openExisting(path);
      if (existing !== null && !fstatSync(existing).isFile()) {
        this.#fd = existing;
        this.#temporary = null;
        return;
      }
      if (existing !== null) closeSync(existing);
      const target = existing === null ? path : realpathSync(path);
      this.#temporary = { path: `${target}.${process.pid}.tmp`, target };
      this.#fd = openSync(this.#temporary.path, "wx");
    } catch (cause) {
      const { message, code, errno, syscall } = cause as NodeJS.ErrnoException;
      throw new P2pError("OUTPUT_FILE", `cannot write ${path}: ${code ?? message}`, {
        ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
        ...(syscall === undefined ? {} : { syscall }),
        hint: "name a file in a directory that exists and may be written",
        cause,
      });
    }
  }

  /** Errors: OUTPUT_FILE. */
  write(text: string): void {
    const data = Buffer.from(text);
    try {
      for (let done = 0; done < data.length;) done += writeSome(this.#fd, data.subarray(done));
    } catch (cause) {
      const { message } = cause as Error;
      throw new P2pError("OUTPUT_FILE", `cannot write the results: ${message}`, { cause });
    }
  }

  /** All is written: the file gets its name. */
  finish(): void {
    this.#close();
    if (this.#temporary !== null) renameSync(this.#temporary.path, this.#temporary.target);
  }

  /** Leaves nothing behind. Nothing after finish(). */
  discard(): void {
    if (!this.#open) return;
    this.#close();
    if (this.#temporary !== null) rmSync(this.#temporary.path, { force: true });
  }

  #close(): void {
    this.#open = false;
    if (this.#fd !== STDOUT) closeSync(this.#fd);
  }
}

/** Opens for writing and changes nothing; null where there is none yet. */
function openExisting(path: string): number | null {
  try {
    return openSync(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Bytes written; a terminal or pipe in non-blocking mode may want to be asked again. */
function writeSome(fd: number, data: Buffer): number {
  try {
    return writeSync(fd, data);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}
