import assert from "node:assert/strict";
import { p2pmem } from "../support/command.js";

describe("p2pmem bind and unbind", () => {
  for (const command of ["bind", "unbind"])
    it(`${command} refuses a device that is not in this machine`, async () => {
      const { code, stdout, stderr } = await p2pmem(command, "--dry-run", "ffff:ff:1f.7");
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /^p2pmem: UNKNOWN_DEVICE: [^\n]*ffff:ff:1f\.7; hint: [^\n]+\n$/);
    });
});
