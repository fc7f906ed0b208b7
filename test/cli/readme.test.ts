import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

describe("the README", () => {
  it("shows a script that runs as it stands", async () => {
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const script = /```js\n([^]*?)```/.exec(readFileSync(`${root}/README.md`, "utf8"))?.[1];
    assert.ok(script !== undefined);
    const { stdout, stderr } = await promisify(execFile)(
      ...([process.execPath, ["--input-type=module", "--eval", script]] as const),
      { cwd: root },
    );
    assert.equal(stderr, "");
    assert.match(stdout, /^\d+(\.\d+)? 0 \{ blocks: 512, mismatches: 0, first: null \}\n$/);
  });
});
