import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { p2pmem } from "../support/command.js";

/** Its second read is never heard of again, until it is aborted. */
const MACHINE = `
root_ports:
  - device: nvme
    faults: [{ on: read, after: 1, effect: hang }]
  - device: nvme
`;

describe("--timeout", () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-timeout-"));
    writeFileSync(join(directory, "machine.yaml"), MACHINE);
  });

  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("ends a command that hangs, and the copy, after so many seconds instead of 30", async () => {
    const machine = ["--machine", join(directory, "machine.yaml"), "--timeout", "0.5s"];
    const begin = performance.now();
    const copy = ["copy", "0000:01:00.0", "0000:02:00.0", "--via", "host", "--size", "1m"];
    const { code, stderr } = await p2pmem(...copy, ...machine);
    const seconds = (performance.now() - begin) / 1000;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^p2pmem: TIMEOUT: Read .* did not complete in 0\.5 s; it was aborted/m);
    assert.ok(seconds > 0.5 && seconds < 20, `${seconds} s`);
  });

  for (const value of ["0", "-1", "soon", "", "Infinity"])
    it(`is not ${JSON.stringify(value)}`, async () => {
      const { code, stdout, stderr } = await p2pmem("list", "--timeout", value);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(
        stderr,
        /^p2pmem: BAD_ARGUMENT: --timeout: .* is not a number of seconds above 0/,
      );
    });
});
