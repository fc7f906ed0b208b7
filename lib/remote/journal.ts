import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { z } from "zod";
import { P2pError } from "../errors.js";
import { FileLock } from "./file-lock.js";
import { changeOf, knownEnd } from "./known-end.js";

const contents = z.object({
  journal: z.literal("p2pmem copy"),
  version: z.literal(1),
  /** The copy's name for itself: the server knows by it that an older connection is the same copy's. */
  copy: z.string().regex(/^[0-9a-f]{32}$/),
  src: z.string(),
  dst: z.string(),
  /** What was found at these two. */
  ends: z.object({ src: knownEnd, dst: knownEnd }),
  size: z.int().min(1),
  bs: z.int().min(1),
  /** Whether blocks are compared before they are confirmed: the same for all of them. */
  verify: z.boolean(),
  /** Blocks from the begin on that are flushed at the destination, and compared where that is wanted. */
  confirmed: z.int().min(0),
});
type Contents = z.infer<typeof contents>;

/** What a journal belongs to. */
type JournalSubject = Omit<Contents, "journal" | "version" | "copy" | "confirmed">;

/** How far a copy has come, in a file: one that was killed goes on there. */
export class Journal {
  /** The copy's name for itself, the same when it goes on. */
  readonly copy: string;
  readonly #file: string;
  readonly #lock: FileLock;
  #contents: Contents | null;

  /**
   * For this copy alone until close(). Errors: BAD_JOURNAL, where the file is none; JOURNAL: it cannot be
   * read or written, or another copy has it.
   */
  static open(file: string): Journal {
    let lock: FileLock | null;
    try {
      lock = FileLock.take(`${file}.lock`);
    } catch (cause) {
      throw unusable(file, cause);
    }
    if (lock === null)
      throw new P2pError("JOURNAL", `another copy that runs has the journal ${file}`, {
        hint: "wait until that has finished, or name another file",
      });
    try {
      return new Journal(file, lock, read(file));
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(file: string, lock: FileLock, known: Contents | null) {
    this.#file = file;
    this.#lock = lock;
    this.#contents = known;
    this.copy = known?.copy ?? randomBytes(16).toString("hex");
  }

  /** Blocks that are confirmed. */
  get confirmed(): number {
    return this.#contents?.confirmed ?? 0;
  }

  /** Goes on with what the file has, or begins it. Errors: BAD_JOURNAL: it is another copy's; JOURNAL. */
  begin(subject: JournalSubject): void {
    const known = this.#contents;
    if (known === null) {
      const { copy } = this;
      this.#write({ journal: "p2pmem copy", version: 1, copy, ...subject, confirmed: 0 });
      return;
    }
    for (const [what, here, there] of [
      ["the source", subject.src, known.src],
      ["the destination", subject.dst, known.dst],
      ["the size", subject.size, known.size],
      ["the block size", subject.bs, known.bs],
      ["--verify", modeOf(subject), modeOf(known)],
    ])
      if (here !== there) throw this.#another(`${what} is ${there} there, ${here} here`);
    for (const [what, end] of [
      ["source", "src"],
      ["destination", "dst"],
    ] as const) {
      const change = changeOf(known.ends[end], subject.ends[end]);
      if (change !== null) throw this.#another(`at the ${what} ${change}`);
    }
  }

  /** After begin(). Durable when it returns. Errors: JOURNAL. */
  confirm(blocks: number): void {
    this.#write({ ...this.#contents!, confirmed: blocks });
  }

  /** The copy is complete: the next one begins anew. Errors: JOURNAL. */
  remove(): void {
    try {
      rmSync(this.#file, { force: true });
    } catch (cause) {
      const { code = String(cause) } = cause as NodeJS.ErrnoException;
      const message = `the copy is complete, but its journal ${this.#file} cannot be removed: ${code}`;
      throw new P2pError("JOURNAL", message, { hint: "remove it before the next copy", cause });
    }
  }

  /** Others may have the file. Once. Errors: JOURNAL. */
  close(): void {
    try {
      this.#lock.release();
    } catch (cause) {
      throw unusable(this.#file, cause);
    }
  }

  #another(how: string): P2pError {
    return new P2pError("BAD_JOURNAL", `${this.#file} is of another copy: ${how}`, {
      hint: "go on with the same command, or name another file (or remove it)",
    });
  }

  /** The old contents are there until the new ones are, all of them. */
  #write(next: Contents): void {
    // Whoever was killed may have left one.
    const temporary = `${this.#file}.tmp`;
    try {
      const fd = openSync(temporary, "w", 0o600);
      try {
        writeFileSync(fd, `${JSON.stringify(next, null, 2)}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, this.#file);
      const directory = openSync(path.dirname(this.#file), "r");
      try {
        fsyncSync(directory);
      } finally {
        closeSync(directory);
      }
    } catch (cause) {
      rmSync(temporary, { force: true });
      throw unusable(this.#file, cause);
    }
    this.#contents = next;
  }
}

function modeOf({ verify }: Pick<Contents, "verify">): string {
  return verify ? "crc32c" : "none";
}

function read(file: string): Contents | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw unusable(file, cause);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const { success, data } = contents.safeParse(parsed);
  if (success && data.confirmed <= Math.ceil(data.size / data.bs)) return data;
  throw new P2pError("BAD_JOURNAL", `${file} is no journal of a copy`, {
    hint: "name another file (or remove it), and begin anew",
  });
}

function unusable(file: string, cause: unknown): P2pError {
  const { code = String(cause) } = cause as NodeJS.ErrnoException;
  return new P2pError("JOURNAL", `the journal ${file} cannot be used: ${code}`, {
    hint: "name a file in a directory that exists and may be written",
    cause,
  });
}
