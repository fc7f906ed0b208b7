import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OutputFile } from "#lib/cli/output-file.js";

describe("the file of --output", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-output-"));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it("appears under its name only when it is complete, and replaces an older one", () => {
    const path = join(directory, "result.json");
    writeFileSync(path, "old");
    const file = new OutputFile(path);
    file.write("new ");
    file.write("text");
    assert.equal(readFileSync(path, "utf8"), "old");
    file.finish();
    file.discard();
    assert.equal(readFileSync(path, "utf8"), "new text");
    assert.deepEqual(readdirSync(directory), ["result.json"]);
  });

  it("leaves an older one, and nothing else, when the run fails", () => {
    const path = join(directory, "result.json");
    writeFileSync(path, "old");
    const file = new OutputFile(path);
    file.write("half");
    file.discard();
    file.discard();
    assert.equal(readFileSync(path, "utf8"), "old");
    assert.deepEqual(readdirSync(directory), ["result.json"]);
  });

  it("keeps a symbolic link and writes what it leads to", () => {
    const target = join(directory, "target");
    const link = join(directory, "link");
    writeFileSync(target, "old");
    symlinkSync(target, link);
    const file = new OutputFile(link);
    file.write("new");
    file.finish();
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.equal(readFileSync(target, "utf8"), "new");
  });

  it("keeps a symbolic link that leads nowhere yet, and makes what it names", () => {
    mkdirSync(join(directory, "a"));
    mkdirSync(join(directory, "b"));
    const link = join(directory, "link");
    symlinkSync("a/second", link);
    symlinkSync("../b/target", join(directory, "a/second"));
    const file = new OutputFile(link);
    file.write("new");
    file.finish();
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.ok(lstatSync(join(directory, "a/second")).isSymbolicLink());
    assert.equal(readFileSync(join(directory, "b/target"), "utf8"), "new");
    assert.deepEqual(readdirSync(join(directory, "b")), ["target"]);
  });

  it("keeps the mode of the one it replaces, from the start", () => {
    const path = join(directory, "result.json");
    for (const mode of [0o600, 0o666]) {
      writeFileSync(path, "old");
      chmodSync(path, mode);
      const file = new OutputFile(path);
      const modes = readdirSync(directory).map(
        (name) => statSync(join(directory, name)).mode & 0o777,
      );
      assert.deepEqual(modes, [mode, mode]);
      file.finish();
      assert.equal(statSync(path).mode & 0o777, mode);
    }
  });

  it("that cannot get its name at the end is an error, and nothing is left behind", () => {
    const path = join(directory, "result.json");
    const file = new OutputFile(path);
    file.write("text");
    mkdirSync(path);
    assert.throws(
      () => {
        file.finish();
      },
      { code: "OUTPUT_FILE", message: /EISDIR/, syscall: "rename" },
    );
    file.discard();
    assert.deepEqual(readdirSync(directory), ["result.json"]);
  });

  it("may be a pipe or a device, which is written as it is and stays", () => {
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const file = new OutputFile(pipe);
      file.write("through");
      file.finish();
      const data = Buffer.alloc(64);
      assert.equal(data.toString("utf8", 0, readSync(reader, data)), "through");
      assert.ok(lstatSync(pipe).isFIFO());
    } finally {
      closeSync(reader);
    }
  });

  it("that cannot be written is an error before anything runs", () => {
    for (const path of [
      join(directory, "none", "x"),
      directory,
      join("/proc", "x"),
      "/proc/version",
    ])
      assert.throws(() => new OutputFile(path), { code: "OUTPUT_FILE" }, path);
    assert.deepEqual(readdirSync(directory), []);
  });
});
