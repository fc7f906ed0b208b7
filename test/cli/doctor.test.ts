import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { p2pmem } from "../support/command.js";

/** The whole of it: another key is an error. */
const report = z.strictObject({
  checks: z.array(
    z.strictObject({
      name: z.string().regex(/^[a-z0-9-]+$/),
      status: z.enum(["pass", "warn", "fail", "skip"]),
      evidence: z.string().min(1),
      fix: z.string().min(1).nullable(),
    }),
  ),
});

describe("p2pmem doctor", () => {
  it("writes exactly the documented JSON, and exits with 1 only if something fails", async () => {
    const { code, stdout, stderr } = await p2pmem("doctor", "--json");
    assert.equal(stderr, "");
    const { checks } = report.parse(JSON.parse(stdout));
    assert.equal(code, checks.some(({ status }) => status === "fail") ? 1 : 0);
    for (const { name, status, fix } of checks) {
      if (status === "pass") assert.equal(fix, null, name);
      if (status === "fail" || status === "warn") assert.notEqual(fix, null, name);
    }
    const node = checks.find(({ name }) => name === "node");
    assert.deepEqual(node, {
      ...{ name: "node", status: "pass", evidence: `Node.js ${process.versions.node}`, fix: null },
    });
  });

  it("tells a person the same in lines, without colours where no terminal is", async () => {
    const [json, text] = await Promise.all([p2pmem("doctor", "--json"), p2pmem("doctor")]);
    const lines = text.stdout.trimEnd().split("\n");
    // Evidence may differ from one look to the next: the names do not.
    const found = lines.flatMap(
      (line) => /^(\w+) {2}([a-z0-9-]+) +\S/.exec(line)?.slice(1, 3) ?? [],
    );
    const names = report.parse(JSON.parse(json.stdout)).checks.map(({ name }) => name);
    assert.deepEqual(
      found.filter((_, index) => index % 2 === 1),
      names,
    );
    assert.equal(text.code, found.includes("fail") ? 1 : 0);
    for (const line of lines) assert.match(line, /^(pass|warn|fail|skip) {2}\S| {6,}fix: \S/);
  });

  it("writes CSV, and to a file", async () => {
    const directory = mkdtempSync(join(tmpdir(), "p2pmem-doctor-"));
    try {
      const file = join(directory, "checks.csv");
      const { stdout } = await p2pmem("doctor", "--output-format", "csv", "--output", file);
      assert.equal(stdout, "");
      assert.match(readFileSync(file, "utf8"), /^name,status,evidence,fix\r\nnode,pass,/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
