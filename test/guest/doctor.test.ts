/** The doctor on a machine that is ready, and what it says mends. Runs inside the lab only. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync } from "node:fs";
import type { Check } from "#lib/host/doctor/check.js";
import { examine } from "#lib/host/doctor/doctor.js";
import { Host } from "#lib/host/host.js";
import { bin, p2pmem } from "../support/command.js";

/** As a user other than root; variables of the environment would name root's home. */
function asNobody(...args: string[]): { status: number | null; checks: Check[] } {
  const { status, stdout, stderr } = spawnSync(
    "setpriv",
    ["--reuid=nobody", "--clear-groups", "env", "HOME=/", process.execPath, bin, ...args],
    { encoding: "utf8" },
  );
  assert.equal(stderr, "");
  const report = JSON.parse(stdout) as { checks: Check[] };
  assert.deepEqual(Object.keys(report), ["checks"]);
  return { status, checks: report.checks };
}

describe("p2pmem doctor in the lab", () => {
  it("finds nothing in the way, and warns at most of what the kernel was built without", () => {
    const checks = examine(new Host());
    const found = checks.filter(({ status }) => status === "fail" || status === "warn");
    for (const { name, evidence } of found)
      // Debian builds its kernels without iommufd.
      assert.ok(["iommufd"].includes(name), `${name}: ${evidence}`);
    for (const name of ["iommu", "vfio-modules", "vfio-container", "vfio-devices", "acs"])
      assert.equal(checks.find((check) => check.name === name)?.status, "pass", name);
  });

  it("fails for a user who may not open the groups, and what it says mends that", async () => {
    const before = asNobody("doctor", "--json");
    assert.equal(before.status, 1);
    const { status, fix } = before.checks.find(({ name }) => name === "vfio-devices")!;
    assert.equal(status, "fail");
    // The words after sudo, for that user.
    const [, words = ""] = /^sudo p2pmem (.*)$/.exec(fix ?? "") ?? [];
    const bound = await p2pmem(...words.replace("$(id -un)", "nobody").split(" "));
    assert.equal(bound.code, 0, bound.stderr);
    try {
      const after = asNobody("doctor", "--json");
      assert.equal(after.status, 0);
      assert.equal(after.checks.find(({ name }) => name === "vfio-devices")?.status, "pass");
    } finally {
      for (const file of bound.stdout.match(/\/dev\/vfio\/\d+/g) ?? []) chownSync(file, 0, 0);
    }
  });
});
