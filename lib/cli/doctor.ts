import type { Command } from "commander";
import { isatty } from "node:tty";
import type { Check } from "../host/doctor/check.js";
import { examine } from "../host/doctor/doctor.js";
import { Host } from "../host/host.js";
import { wantsColors } from "./colors.js";
import { EXIT } from "./failure.js";
import { requireRealMachine, writeOutput } from "./host-command.js";
import type { GlobalOptions } from "./options.js";
import { checksCsv, checksJson, checksText } from "./output/checks.js";

interface DoctorOptions extends GlobalOptions {
  json?: boolean;
}

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description(
      "say what of this machine stands in the way of copies over VFIO, and what mends it",
    )
    .option("--json", "the same as --output-format json")
    .addHelpText(
      "after",
      `
Nothing is changed. pass: as it should be; warn: works, with less; fail: in the way, and the exit
code is 1; skip: could not be found out. Some is only shown to root.

Examples:
  p2pmem doctor
  sudo p2pmem doctor --json`,
    )
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<DoctorOptions>();
      requireRealMachine("doctor", options);
      const checks = examine(new Host());
      writeOutput(options, () => format(checks, options));
      process.exitCode = checks.some(({ status }) => status === "fail") ? EXIT.error : EXIT.ok;
    });
}

function format(checks: readonly Check[], options: DoctorOptions): string {
  if (options.json === true || options.outputFormat === "json") return checksJson(checks);
  if (options.outputFormat === "csv") return checksCsv(checks);
  const colors = options.output === undefined && wantsColors(isatty(process.stdout.fd));
  return checksText(checks, colors);
}
