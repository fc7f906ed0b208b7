/** What is declared of libibverbs' binary interface is what its own header says. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Compiles the comparison; `include`: where native's headers are. */
function compare(include: string): { status: number | null; stderr: string } {
  const [compiler, ...words] = (process.env.CXX ?? "c++").split(" ");
  const args = ["-std=c++20", "-fsyntax-only", "-Wno-invalid-offsetof", "-I", include];
  args.push("-I", join(root, "native"), join(root, "test/fixtures/ibverbs-abi.cc"));
  return spawnSync(compiler!, [...words, ...args], { encoding: "utf8" });
}

describe("native/verbs/ibverbs_abi.h", () => {
  it("has the sizes, offsets and numbers of infiniband/verbs.h", () => {
    const { status, stderr } = compare(join(root, "native"));
    assert.equal(status, 0, stderr);
  });

  it("would be found out where it had not", () => {
    const header = readFileSync(join(root, "native/verbs/ibverbs_abi.h"), "utf8");
    const scratch = mkdtempSync(join(tmpdir(), "p2pmem-abi-"));
    try {
      mkdirSync(join(scratch, "verbs"));
      for (const [right, wrong] of [
        ["  uint32_t lkey;\n  uint32_t rkey;\n", "  uint32_t rkey;\n  uint32_t lkey;\n"],
        ["QP_AV = 1 << 7", "QP_AV = 1 << 6"],
        ["unused_advise_mr_to_priv[26]", "unused_advise_mr_to_priv[25]"],
      ] as const) {
        const changed = header.replace(right, wrong);
        assert.notEqual(changed, header);
        writeFileSync(join(scratch, "verbs/ibverbs_abi.h"), changed);
        const { status, stderr } = compare(scratch);
        assert.notEqual(status, 0);
        assert.match(stderr, /static assertion failed/);
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});
