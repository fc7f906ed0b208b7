import { closeSync, fstatSync, openSync, rmSync, statSync } from "node:fs";
import { addon } from "../addon.js";

/** A file that one process has at a time: the kernel takes it back when that ends, however it does. */
export class FileLock {
  readonly #file: string;
  readonly #fd: number;

  /** Makes the file; null: somebody else has it. Errors: those of opening it; IO. */
  static take(file: string): FileLock | null {
    for (;;) {
      const fd = openSync(file, "a", 0o600);
      let isOurs = false;
      try {
        if (!addon().lockFile(fd)) return null;
        // Else its last holder removed it after it was opened here.
        isOurs = isAt(file, fd);
        if (isOurs) return new FileLock(file, fd);
      } finally {
        if (!isOurs) closeSync(fd);
      }
    }
  }

  private constructor(file: string, fd: number) {
    this.#file = file;
    this.#fd = fd;
  }

  /** Removes the file, while nobody else can have it. Once. */
  release(): void {
    try {
      rmSync(this.#file, { force: true });
    } finally {
      closeSync(this.#fd);
    }
  }
}

function isAt(file: string, fd: number): boolean {
  const there = statSync(file, { throwIfNoEntry: false });
  const { dev, ino } = fstatSync(fd);
  return there?.ino === ino && there.dev === dev;
}
