/** The package in other places and other states than a healthy checkout. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("the package", () => {
  let copy: string;

  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), "p2pmem with späce %20 "));
    for (const part of ["dist", "package.json"])
      cpSync(join(root, part), join(copy, part), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  });

  afterEach(() => {
    rmSync(copy, { recursive: true });
  });

  const addonAt = (...path: string[]): string => join(copy, "build/Release", ...path);
  const list = (): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [join(copy, "dist/cli/main.js"), "list"], { encoding: "utf8" });

  it("brings the documents that its messages and its README name, and what its reports are made of", () => {
    const { stdout, stderr } = spawnSync(
      "npm",
      ["pack", "--dry-run", "--json", "--ignore-scripts"],
      { cwd: root, encoding: "utf8" },
    );
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const named: string[] = readme.match(/docs\/[\w-]+\.md/g) ?? [];
    assert.ok(named.length > 0);
    for (const name of readdirSync(join(root, "assets/report")))
      if (/\.(css|js)$/.test(name)) named.push(`assets/report/${name}`);
    for (const name of named) assert.ok(stdout.includes(`"${name}"`), `${name}\n${stderr}`);
  });

  it("works wherever it is, whatever the path is called", () => {
    cpSync(join(root, "build/Release/p2pmem.node"), addonAt("p2pmem.node"));
    const { status, stdout, stderr } = list();
    assert.equal(stderr, "");
    assert.equal(status, 0);
    assert.match(stdout, /loopback/);
  });

  for (const [state, reason, prepare] of [
    ["without its addon", /it has not been built/, () => undefined],
    [
      "with a broken addon",
      /did not load: .*(too short|invalid ELF header)/,
      () => {
        cpSync(join(root, "package.json"), addonAt("p2pmem.node"));
        writeFileSync(addonAt("p2pmem.node"), "no ELF file");
      },
    ],
  ] as const)
    it(`${state} says why in one line, and what to run`, () => {
      prepare();
      const { status, stdout, stderr } = list();
      assert.match(stderr, /^p2pmem: ADDON_MISSING: .*hint: run `npm rebuild p2pmem`.*\n$/);
      assert.match(stderr, reason);
      assert.equal(stdout, "");
      assert.equal(status, 1);
    });
});
