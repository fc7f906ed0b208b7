import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { z } from "zod";
import { P2pError } from "../errors.js";

const contents = z.object({
  journal: z.literal("p2pmem copy"),
  version: z.literal(1),
  /** The copy's name for itself: the server knows by it that an older connection is the same copy's. */
  copy: z.string().regex(/^[0-9a-f]{32}$/),
  src: z.string(),
  dst: z.string(),
  /** Of the two namespaces. */
  identities: z.object({ src: z.string(), dst: z.string() }),
  size: z.int().min(1),
  bs: z.int().min(1),
  /** Blocks from the begin on that are flushed at the destination, and compared where that is wanted. */
  confirmed: z.int().min(0),
});
type Contents = z.infer<typeof contents>;

/** What a journal belongs to. */
type JournalSubject = Omit<Contents, "journal" | "version" | "copy" | "confirmed">;

/** How far a copy has come, in a file: one that was killed goes on there. */
export class Journal {
  readonly #file: string;
  #contents: Contents;

  /**
   * Goes on with the file's, or begins one. Errors: BAD_JOURNAL: the file is none, or another copy's;
   * JOURNAL: it cannot be read or written.
   */
  static open(file: string, subject: JournalSubject, copy: string): Journal {
    const known = read(file);
    if (known === null) {
      const begun = { journal: "p2pmem copy", version: 1, copy, ...subject, confirmed: 0 } as const;
      const journal = new Journal(file, begun);
      journal.#write();
      return journal;
    }
    for (const [what, here, there] of [
      ["the source", subject.src, known.src],
      ["the destination", subject.dst, known.dst],
      ["the source's device", subject.identities.src, known.identities.src],
      ["the destination's device", subject.identities.dst, known.identities.dst],
      ["the size", subject.size, known.size],
      ["the block size", subject.bs, known.bs],
    ])
      if (here !== there)
        throw new P2pError(
          "BAD_JOURNAL",
          `${file} is of another copy: ${what} is ${there} there, ${here} here`,
          { hint: "go on with the same command, or name another file (or remove it)" },
        );
    return new Journal(file, known);
  }

  /** The name of the copy that a journal is of; null where there is no file. Errors: as open(). */
  static copyOf(file: string): string | null {
    return read(file)?.copy ?? null;
  }

  private constructor(file: string, known: Contents) {
    this.#file = file;
    this.#contents = known;
  }

  get confirmed(): number {
    return this.#contents.confirmed;
  }

  /** Durable when it returns. Errors: JOURNAL. */
  confirm(blocks: number): void {
    this.#contents = { ...this.#contents, confirmed: blocks };
    this.#write();
  }

  /** The copy is complete: the next one begins anew. */
  remove(): void {
    rmSync(this.#file, { force: true });
  }

  /** The old contents are there until the new ones are, all of them. */
  #write(): void {
    const temporary = `${this.#file}.${process.pid}.tmp`;
    try {
      const fd = openSync(temporary, "w", 0o600);
      try {
        writeSync(fd, `${JSON.stringify(this.#contents, null, 2)}\n`);
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
  }
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
