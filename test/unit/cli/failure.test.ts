import assert from "node:assert/strict";
import { CommanderError } from "commander";
import { describeFailure } from "#lib/cli/failure.js";
import { P2pError } from "#lib/errors.js";

describe("failures on the command line", () => {
  it("are one line with code, message and hint, and exit with 1", () => {
    const error = new P2pError("NO_VFIO", "there is no /dev/vfio", { hint: "modprobe vfio-pci" });
    assert.deepEqual(describeFailure(error), {
      line: "p2pmem: NO_VFIO: there is no /dev/vfio; hint: modprobe vfio-pci",
      exitCode: 1,
    });
  });

  it("exit with 2 where the arguments are wrong, and then always hint", () => {
    const { line, exitCode } = describeFailure(new P2pError("BAD_SIZE", "4x is no size"));
    assert.equal(exitCode, 2);
    assert.match(line!, /; hint: .*--help$/);
  });

  it("exit with 130 when interrupted", () => {
    assert.equal(describeFailure(new P2pError("INTERRUPTED", "stop")).exitCode, 130);
  });

  it("stay one line whatever a message holds", () => {
    for (const error of [new P2pError("IO", "a\n  b\nc"), new Error("x\n    at y"), "z\nz"])
      assert.doesNotMatch(describeFailure(error).line!, /\n/);
  });

  it("show below it what was typed, with a caret, where that is known", () => {
    const error = new P2pError("BAD_EXPRESSION", "column 3: no", { excerpt: "1 < 2\n  ^" });
    const [first, ...rest] = describeFailure(error).line!.split("\n");
    assert.match(first!, /^p2pmem: BAD_EXPRESSION: column 3: no; hint: /);
    assert.deepEqual(rest, ["  1 < 2", "    ^"]);
  });

  it("of the program itself say so and show no stack", () => {
    const { line, exitCode } = describeFailure(new TypeError("x is not a function"));
    assert.equal(exitCode, 1);
    assert.match(line!, /^p2pmem: INTERNAL: TypeError: x is not a function; hint: .*bug/);
  });

  it("print nothing and succeed where help was asked for", () => {
    const help = new CommanderError(0, "commander.helpDisplayed", "(outputHelp)");
    assert.deepEqual(describeFailure(help), { line: null, exitCode: 0 });
  });
});
