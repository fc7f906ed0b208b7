import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const SCRIPTS = new URL("../../scripts/", import.meta.url);
const IMPORT = /^import \{([^}]*)\} from "(\.\.\/dist\/[^"]*)";$/gm;

/** Benchmarks are run by hand: that a name has moved would be seen late. */
describe("the scripts", () => {
  const scripts = readdirSync(SCRIPTS)
    .filter((name) => name.endsWith(".mjs"))
    .filter((name) => readFileSync(new URL(name, SCRIPTS), "utf8").includes("../dist/"));

  it("are some that use the library", () => {
    assert.ok(scripts.includes("bench-rdma.mjs"));
  });

  for (const script of scripts)
    it(`import only what there is: ${script}`, async () => {
      const text = readFileSync(new URL(script, SCRIPTS), "utf8");
      const imports = [...text.matchAll(IMPORT)];
      assert.notEqual(imports.length, 0);
      for (const [, names, path] of imports) {
        const module = (await import(new URL(path!, SCRIPTS).href)) as object;
        for (const name of names!.split(",").map((word) => word.trim().split(" ")[0]!))
          if (name !== "") assert.ok(name in module, `${name} of ${path!}`);
      }
    });
});
