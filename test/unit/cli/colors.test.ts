import assert from "node:assert/strict";
import { wantsColors } from "#lib/cli/colors.js";

describe("colours", () => {
  const cases: [why: string, isTerminal: boolean, env: NodeJS.ProcessEnv, wanted: boolean][] = [
    ["a terminal", true, { TERM: "xterm" }, true],
    ["a terminal that does not say which", true, {}, true],
    ["a pipe", false, { TERM: "xterm" }, false],
    ["a dumb terminal", true, { TERM: "dumb" }, false],
    ["NO_COLOR", true, { NO_COLOR: "1" }, false],
    ["an empty NO_COLOR", true, { NO_COLOR: "" }, true],
    ["FORCE_COLOR into a pipe", false, { FORCE_COLOR: "1" }, true],
    ["FORCE_COLOR=0", true, { FORCE_COLOR: "0" }, false],
    ["both", true, { NO_COLOR: "1", FORCE_COLOR: "1" }, false],
  ];
  for (const [why, isTerminal, env, wanted] of cases)
    it(`are ${wanted ? "" : "not "}there for ${why}`, () => {
      assert.equal(wantsColors(isTerminal, env), wanted);
    });
});
