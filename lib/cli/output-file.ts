import {
  closeSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { isatty } from "node:tty";
import { P2pError } from "../errors.js";

const STDOUT = 1;
const NAME_ANOTHER = "name a file in a directory that exists and may be written";

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
      // A pipe or a device is written to as it is; a file keeps its mode, and its place behind a
      // symbolic link.
      const existing = openExisting(path);
      const facts = existing === null ? null : fstatSync(existing);
      if (existing !== null && facts?.isFile() === false) {
        this.#fd = existing;
        this.#temporary = null;
        return;
      }
      if (existing !== null) closeSync(existing);
      const target = existing === null ? followLinks(path) : realpathSync(path);
      this.#temporary = { path: `${target}.${process.pid}.tmp`, target };
      this.#fd = create(this.#temporary.path, facts === null ? null : facts.mode & 0o777);
    } catch (cause) {
      throw refusal(`cannot write ${path}`, cause, NAME_ANOTHER);
    }
  }

  /** Whether what is written goes to a terminal. */
  get isTerminal(): boolean {
    return isatty(this.#fd);
  }

  /** Errors: OUTPUT_FILE. */
  write(content: string | Uint8Array): void {
    const data = typeof content === "string" ? Buffer.from(content) : content;
    try {
      for (let done = 0; done < data.length;) done += writeSome(this.#fd, data.subarray(done));
    } catch (cause) {
      throw refusal(
        "cannot write the results",
        cause,
        "see that there is room on the disk, and that the reader of a pipe stays",
      );
    }
  }

  /** All is written: the file gets its name. Errors: OUTPUT_FILE, and then nothing is left behind. */
  finish(): void {
    try {
      this.#close();
      if (this.#temporary !== null) renameSync(this.#temporary.path, this.#temporary.target);
    } catch (cause) {
      this.#remove();
      throw refusal(
        `cannot write ${this.#temporary?.target ?? "the results"}`,
        cause,
        NAME_ANOTHER,
      );
    }
  }

  /** Leaves nothing behind. Nothing after finish(). */
  discard(): void {
    if (!this.#open) return;
    this.#close();
    this.#remove();
  }

  #remove(): void {
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

/** The name that opening `path` would create: it leads nowhere yet, in no circle (ELOOP). */
function followLinks(path: string): string {
  let target = path;
  while (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    const link = readlinkSync(target);
    // Not join(): `..` behind a link to a directory is for the kernel to follow.
    target = isAbsolute(link) ? link : `${dirname(target)}/${link}`;
  }
  return target;
}

/** A new file; with a mode, exactly that one, of which the umask takes nothing. */
function create(path: string, mode: number | null): number {
  const fd = openSync(path, "wx", mode ?? undefined);
  try {
    if (mode !== null) fchmodSync(fd, mode);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}

function refusal(what: string, cause: unknown, hint: string): P2pError {
  const { message, code, errno, syscall } = cause as NodeJS.ErrnoException;
  return new P2pError("OUTPUT_FILE", `${what}: ${code ?? message}`, {
    ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
    ...(syscall === undefined ? {} : { syscall }),
    hint,
    cause,
  });
}

/** Bytes written; a terminal or pipe in non-blocking mode may want to be asked again. */
function writeSome(fd: number, data: Uint8Array): number {
  try {
    return writeSync(fd, data);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}
