#!/usr/bin/env node
import { Command } from "commander";
import { addBenchCommand } from "./bench.js";
import { addBindCommands } from "./bind.js";
import { addCompareCommand } from "./compare.js";
import { addCopyCommand } from "./copy.js";
import { addDoctorCommand } from "./doctor.js";
import { describeFailure } from "./failure.js";
import { addIdentifyCommand } from "./identify.js";
import { addListCommand } from "./list.js";
import { addPerfCommand } from "./perf.js";
import { addProbeCommand } from "./probe.js";
import { addGlobalOptions } from "./options.js";
import { packageVersion } from "../version.js";
import { addTopologyCommand } from "./topology.js";

const program = new Command("p2pmem")
  .description("Copy data from PCIe device to PCIe device, peer to peer, and see what that gains.")
  .version(packageVersion())
  .configureHelp({ showGlobalOptions: true })
  // Failures print their one line below.
  .configureOutput({ outputError: () => undefined })
  .exitOverride()
  .addHelpText(
    "after",
    `
Exit codes: 0 ok, 1 error, 2 usage, 3 data that is not right, 130 interrupted.

Examples:
  p2pmem bench                             the main job, on the loopback machine
  p2pmem doctor                            is this machine ready for it
  p2pmem bind 0000:03:00.0 0000:04:00.0    give devices to vfio-pci
  p2pmem list --platform vfio              what there is on this machine
  p2pmem identify 0000:03:00.0             what a controller says about itself
  p2pmem topology --platform vfio          who can reach whose memory, and why not
  p2pmem copy 0000:03:00.0 0000:04:00.0 --verify`,
  );
addGlobalOptions(program);
addListCommand(program);
addIdentifyCommand(program);
addTopologyCommand(program);
addCopyCommand(program);
addBenchCommand(program);
addCompareCommand(program);
addPerfCommand(program);
addProbeCommand(program);
addBindCommands(program);
addDoctorCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  const { line, exitCode } = describeFailure(error);
  if (line !== null) process.stderr.write(`${line}\n`);
  process.exitCode = exitCode;
}
