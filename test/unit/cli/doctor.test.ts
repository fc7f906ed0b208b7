import assert from "node:assert/strict";
import { checksText } from "#lib/cli/output/checks.js";
import type { Check } from "#lib/host/doctor/check.js";

const CHECKS: Check[] = [
  { name: "short", status: "pass", evidence: "all is well", fix: null },
  { name: "longer-name", status: "fail", evidence: "nothing there", fix: "mend it" },
];

describe("the doctor's words for a person", () => {
  it("stand in columns, each fix below what it mends", () => {
    assert.equal(
      checksText(CHECKS, false),
      [
        "pass  short        all is well",
        "fail  longer-name  nothing there",
        "                   fix: mend it",
        "",
      ].join("\n"),
    );
  });

  it("have colours in the status alone", () => {
    const [pass = "", fail = ""] = checksText(CHECKS, true).split("\n");
    assert.equal(pass, "\u001b[32mpass\u001b[39m  short        all is well");
    assert.equal(fail, "\u001b[31mfail\u001b[39m  longer-name  nothing there");
  });
});
