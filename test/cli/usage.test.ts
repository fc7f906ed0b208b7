import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { bin, p2pmem } from "../support/command.js";

describe("p2pmem without a job", () => {
  it("explains itself and every command, with examples", async () => {
    const commands = ["list", "identify", "topology", "copy", "bench", "perf", "probe"];
    commands.push("bind", "unbind", "doctor", "serve");
    for (const command of ["", ...commands]) {
      const { code, stdout, stderr } = await p2pmem(...[command, "--help"].filter(Boolean));
      assert.equal(code, 0, command);
      assert.equal(stderr, "");
      assert.match(stdout, /^Usage: p2pmem/);
      assert.match(stdout, /Examples:\n {2}p2pmem/);
      for (const option of [
        "--platform",
        "--machine",
        "--output-format",
        "--output",
        "--allow-write",
      ])
        assert.ok(stdout.includes(option), `${command} --help tells of ${option}`);
      for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
    }
  });

  it("says its version, the package's", async () => {
    const file = new URL("../../package.json", import.meta.url);
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
    const { code, stdout } = await p2pmem("--version");
    assert.equal(code, 0);
    assert.equal(stdout, `${version}\n`);
  });

  it("shows its help and exits with 2 where no command is given", async () => {
    const { code, stdout, stderr } = await p2pmem();
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^Usage: p2pmem/);
  });

  it("is a program for node", () => {
    assert.ok(statSync(bin).isFile());
    assert.match(readFileSync(bin, "utf8"), /^#!\/usr\/bin\/env node\n/);
  });
});

describe("mistakes in the arguments", () => {
  const mistakes: [string, string[]][] = [
    ["BAD_ARGUMENT", ["frobnicate"]],
    ["BAD_ARGUMENT", ["list", "--frobnicate"]],
    ["BAD_ARGUMENT", ["list", "surplus"]],
    ["BAD_ARGUMENT", ["list", "--platform", "windows"]],
    ["BAD_ARGUMENT", ["list", "--output-format", "xml"]],
    ["BAD_ARGUMENT", ["copy", "0000:03:00.0"]],
    ["BAD_ARGUMENT", ["copy", "0000:03:00.0", "0000:04:00.0", "--via", "air"]],
    ["BAD_ENDPOINT", ["copy", "nvme0", "0000:04:00.0"]],
    ["BAD_ENDPOINT", ["copy", "0000:03:00.0", "0000:04:00.0/0"]],
    ["BAD_ENDPOINT", ["copy", "0000:03:00.0", "0000:04:00.0", "--provider", "0000:05:00.0/bar9"]],
    ["BAD_SIZE", ["copy", "0000:03:00.0@4q", "0000:04:00.0"]],
    ["BAD_SIZE", ["copy", "0000:03:00.0", "0000:04:00.0", "--size", "0"]],
    ["BAD_SIZE", ["bench", "--bs", "4k,0"]],
    ["BAD_ARGUMENT", ["bench", "--bs", ""]],
    ["BAD_ARGUMENT", ["bench", "--path", "p2p,moon"]],
    ["BAD_ARGUMENT", ["bench", "--iodepth", "0"]],
    ["BAD_ARGUMENT", ["bench", "--iodepth", "1.5"]],
    ["BAD_ARGUMENT", ["bench", "--runtime", "-1"]],
    ["BAD_ARGUMENT", ["bench", "--runtime", "soon"]],
    ["BAD_ARGUMENT", ["perf"]],
    ["BAD_ENDPOINT", ["perf", "nvme0"]],
    ["BAD_SIZE", ["perf", "0000:04:00.0", "-o", "0"]],
    ["BAD_ARGUMENT", ["perf", "0000:04:00.0", "-c", "[1,"]],
    ["BAD_ARGUMENT", ["perf", "0000:04:00.0", "--seed", "-1"]],
    ["BAD_ARGUMENT", ["list", "--platform", "vfio", "--machine", "acs"]],
    ["BAD_ARGUMENT", ["list", "--machine", ""]],
    ["BAD_ARGUMENT", ["list", "--output", ""]],
    ["BAD_ARGUMENT", ["probe", "0000:03:00.0", "0000:05:00.0"]],
    ["BAD_ENDPOINT", ["probe", "0000:03:00.0", "0000:05:00.0/bar9", "0000:04:00.0"]],
    [
      "BAD_SIZE",
      ["probe", "0000:03:00.0", "0000:05:00.0", "0000:04:00.0", "--scratch", "0000:04:00.0@4q"],
    ],
    ["BAD_ARGUMENT", ["bind"]],
    ["BAD_ENDPOINT", ["bind", "0000:03:00.0", "nvme0"]],
    ["BAD_ARGUMENT", ["bind", "0000:03:00.0", "--platform", "loopback"]],
    ["BAD_ARGUMENT", ["unbind", "0000:03:00.0", "--machine", "acs"]],
    ["BAD_ENDPOINT", ["unbind", "03:00"]],
    ["BAD_ARGUMENT", ["doctor", "--platform", "loopback"]],
    ["BAD_ARGUMENT", ["doctor", "surplus"]],
  ];
  for (const [expected, args] of mistakes)
    it(`${expected}: p2pmem ${args.join(" ")}`, async () => {
      const { code, stdout, stderr } = await p2pmem(...args);
      assert.equal(code, 2);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^p2pmem: ${expected}: [^\n]+; hint: [^\n]+\n$`));
    });
});
