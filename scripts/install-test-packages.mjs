// What the stages `report` and `lab` need beside npm's packages: installed while the stages before them run.
import { spawnSync } from "node:child_process";

import { LabError } from "./lab/command.mjs";
import { BROWSER, installPackages } from "./lab/packages.mjs";

try {
  installPackages(console.log, BROWSER);
  const lab = new URL("lab.mjs", import.meta.url).pathname;
  process.exitCode =
    spawnSync(process.execPath, [lab, "--install"], { stdio: "inherit" }).status ?? 1;
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
