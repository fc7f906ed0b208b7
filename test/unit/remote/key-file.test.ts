import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readKeyFile } from "#lib/remote/key-file.js";

describe("Key files", () => {
  let directory: string;
  let file: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-key-"));
    file = path.join(directory, "key");
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it("hold the same key with and without an end of line", () => {
    for (const end of ["", "\n", "\r\n"]) {
      writeFileSync(file, `0123456789abcdef${end}`, { mode: 0o600 });
      assert.equal(Buffer.from(readKeyFile(file)).toString(), "0123456789abcdef");
    }
  });

  it("are refused where they are not there, short, long, or readable by others", () => {
    assert.throws(() => readKeyFile(file), { code: "BAD_KEY_FILE", message: /ENOENT/ });
    for (const bytes of [15, 4097]) {
      writeFileSync(file, "x".repeat(bytes), { mode: 0o600 });
      assert.throws(() => readKeyFile(file), {
        code: "BAD_KEY_FILE",
        message: new RegExp(`${bytes} bytes`),
      });
    }
    for (const mode of [0o640, 0o604]) {
      chmodSync(file, mode);
      assert.throws(() => readKeyFile(file), { code: "BAD_KEY_FILE", hint: /chmod 600/ });
    }
  });
});
