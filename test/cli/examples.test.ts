import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import type { BenchReport } from "#lib/bench/report.js";
import { p2pmem } from "../support/command.js";
import { readXml } from "../support/xml.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const yaml = join(root, "examples/lab-test.yaml");

describe("the example in YAML", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-examples-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("holds on the loopback machine, as JSON and as JUnit XML", async () => {
    const junit = join(directory, "results.xml");
    const options = ["--platform", "loopback", "--output-format", "json", "--junit", junit];
    const { code, stdout, stderr } = await p2pmem("bench", yaml, ...options);
    const { expectations } = JSON.parse(stdout) as BenchReport;
    assert.equal(expectations.length, 10, stderr);
    // What takes time may fail where others keep the processors busy; the exit code then says so.
    for (const { expression, outcome, detail } of expectations)
      if (/p99|bw_bytes/.test(expression)) assert.notEqual(outcome, "error", detail);
      else assert.equal(outcome, "pass", detail);
    const failed = expectations.filter(({ outcome }) => outcome !== "pass").length;
    assert.equal(code, failed === 0 ? 0 : 3, stderr);
    const suites = readXml(readFileSync(junit, "utf8")).children;
    assert.deepEqual(
      suites.map(({ attributes: { name, tests, failures, errors } }) => [
        ...[name, tests, failures, errors],
      ]),
      [
        ["copy", "8", String(failed), "0"],
        ["verified", "2", "0", "0"],
      ],
    );
  });

  it("exits with 3 where something else is expected, and TAP says what", async () => {
    const { code, stdout } = await p2pmem(
      ...["bench", yaml, "--platform", "loopback", "--tap"],
      ...["--expect", "host.traffic.host_memory_bytes == 0"],
    );
    assert.equal(code, 3);
    assert.match(
      stdout,
      /^ {4}not ok 1 - host\.traffic\.host_memory_bytes == 0 \(bs=64k iodepth=8\)$/m,
    );
  });
});

describe("the examples in TypeScript", () => {
  const run = promisify(execFile);

  function example(
    file: string,
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ stdout: string; stderr: string }> {
    const source = readFileSync(join(root, "examples", file), "utf8");
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    // From here `p2pmem` is this package.
    return run(process.execPath, ["--input-type=module", "--eval", outputText], {
      cwd: root,
      env: { ...process.env, ...env },
    });
  }

  it("have no mistake in their types", async () => {
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    await run(process.execPath, [tsc, "-p", join(root, "examples/tsconfig.json")]);
  });

  it("pass: the test of copies", async () => {
    const { stdout } = await example("lab-test.ts");
    assert.match(stdout, /pass 3/);
    assert.match(stdout, /fail 0/);
  });

  it("move data from namespace to namespace over RDMA, and none through host memory", async () => {
    const { stdout } = await example("rdma.ts");
    assert.equal(stdout, "1048576 bytes went over the wire\n0 of them through host memory\n");
  });

  it("copy to a machine that serves, and none of it crosses host memory", async () => {
    const { stdout } = await example("remote-copy.ts");
    assert.match(stdout, /^4194304 bytes arrived, 32 blocks with the same CRC-32C\n/);
    assert.match(stdout, /\nstaged in 0000:03:00.0\/cmb, 0 bytes through host memory\n/);
    assert.match(stdout, /\nstaged in 0000:05:00.0\/bar2, 0 bytes through host memory\n$/);
  });

  for (const side of ["SRC", "DST"])
    it(`fails where ${side} is named alone, and does not test the loopback machine instead`, async () => {
      await assert.rejects(
        example("lab-test.ts", { [side]: "0000:03:00.0" }),
        /name both: SRC is read/,
      );
    });
});
