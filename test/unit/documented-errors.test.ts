import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** How TypeScript and C++ write an error's code down. */
const CODES = /P2pError\(\s*"([A-Z_]+)"|\bcode = "([A-Z_]+)"|(?:systemError|fail)\(\s*"([A-Z_]+)"/g;

describe("docs/errors.md", () => {
  it("has the code of every error", () => {
    const known = readFileSync(path.join(ROOT, "docs/errors.md"), "utf8");
    const codes = new Set(
      ["lib", "native"].flatMap((directory) =>
        readdirSync(path.join(ROOT, directory), { recursive: true, encoding: "utf8" })
          .filter((file) => /\.(ts|cc|h)$/.test(file))
          .flatMap((file) =>
            [...readFileSync(path.join(ROOT, directory, file), "utf8").matchAll(CODES)].map(
              ([, thrown, status, failed]) => thrown ?? status ?? failed ?? "",
            ),
          ),
      ),
    );
    assert.ok(codes.size > 50, "codes were found");
    const missing = [...codes].filter((code) => !known.includes(`\`${code}\``));
    assert.deepEqual(missing, []);
  });
});
