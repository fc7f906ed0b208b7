import { Argument, type Command } from "commander";
import type { BindingChange } from "../host/change.js";
import { BindPlan, type BindOptions } from "../host/bind.js";
import { Host } from "../host/host.js";
import { UnbindPlan } from "../host/unbind.js";
import { parseBdf, type Bdf } from "../pci/bdf.js";
import { requireRealMachine, writeOutput } from "./host-command.js";
import type { GlobalOptions } from "./options.js";
import {
  bindingsCsv,
  bindingsJson,
  bindingsScript,
  bindLine,
  unbindLine,
} from "./output/bindings.js";
import { packageVersion } from "../version.js";

interface ChangeOptions extends GlobalOptions {
  dryRun?: boolean;
}

/** What `bind` and `unbind` have in common: all is checked when a plan is made. */
interface Plan<Change extends BindingChange> {
  readonly devices: readonly Change[];
  readonly commands: readonly string[];
  run(): void;
}

export function addBindCommands(program: Command): void {
  program
    .command("bind")
    .description("give devices to vfio-pci, so that p2pmem can have them")
    .addArgument(deviceArgument())
    .option("--group", "bind the other functions of their IOMMU groups, too")
    .option("--user <name>", "the user who gets /dev/vfio/GROUP (default: root keeps it)")
    .option("--dry-run", "print what would be checked and done, as shell commands")
    .addHelpText(
      "after",
      `
A device that is in use is refused: mounted, swap space, part of a volume, open in a program, given
to other hosts, a network interface that is up or not to be seen, a display. Either all devices are
bound or none. What each had before is kept in /run/p2pmem/bindings, for unbind.

Examples:
  p2pmem bind 0000:03:00.0 0000:04:00.0
  p2pmem bind --group --user alice 0000:03:00.0
  p2pmem bind --dry-run 0000:03:00.0`,
    )
    .action((addresses: Bdf[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions & BindOptions>();
      requireRealMachine("bind", options);
      change(options, new BindPlan(new Host(), unique(addresses), options), bindLine);
      if (options.user !== undefined && options.dryRun !== true)
        process.stderr.write(
          `p2pmem: note: the locked-memory limit (ulimit -l) of ${options.user} must cover the buffers, too\n`,
        );
    });
  program
    .command("unbind")
    .description("give devices back to the drivers that had them before bind")
    .addArgument(deviceArgument())
    .option("--dry-run", "print what would be checked and done, as shell commands")
    .addHelpText(
      "after",
      `
A device that bind has not recorded goes to the driver that the kernel chooses. One that is not
bound to VFIO is left alone, unless an interrupted bind left it so. Where one fails, the others go
on.

Examples:
  p2pmem unbind 0000:03:00.0 0000:04:00.0
  p2pmem unbind --dry-run 0000:03:00.0`,
    )
    .action((addresses: Bdf[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      requireRealMachine("unbind", options);
      change(options, new UnbindPlan(new Host(), unique(addresses)), unbindLine);
    });
}

function deviceArgument(): Argument {
  return new Argument("<bdf...>", "PCI addresses, as lspci -D writes them").argParser(
    (text, before: Bdf[] | undefined) => [...(before ?? []), parseBdf(text)],
  );
}

function unique(addresses: readonly Bdf[]): Bdf[] {
  return [...new Set(addresses)];
}

function change<Change extends BindingChange>(
  options: ChangeOptions,
  plan: Plan<Change>,
  line: (device: Change) => string,
): void {
  const isDryRun = options.dryRun === true;
  writeOutput(options, () => {
    if (!isDryRun) plan.run();
    const { devices, commands } = plan;
    const report = { version: packageVersion(), dry_run: isDryRun, devices, commands };
    if (options.outputFormat === "json") return bindingsJson(report);
    if (options.outputFormat === "csv") return bindingsCsv(report);
    return isDryRun
      ? bindingsScript(report)
      : devices.map((device) => `${line(device)}\n`).join("");
  });
}
