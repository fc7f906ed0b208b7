#!/usr/bin/env node
import { Command } from "commander";
import { describeFailure } from "./failure.js";
import { addGlobalOptions } from "./options.js";
import { packageVersion } from "../version.js";

/**
 * By name, in the order of the help. Only what is named is loaded: most of a command's start is loading
 * modules.
 */
const COMMANDS: Record<string, () => Promise<(program: Command) => void>> = {
  list: async () => (await import("./list.js")).addListCommand,
  identify: async () => (await import("./identify.js")).addIdentifyCommand,
  topology: async () => (await import("./topology.js")).addTopologyCommand,
  copy: async () => (await import("./copy.js")).addCopyCommand,
  serve: async () => (await import("./serve.js")).addServeCommand,
  bench: async () => (await import("./bench.js")).addBenchCommand,
  compare: async () => (await import("./compare.js")).addCompareCommand,
  perf: async () => (await import("./perf.js")).addPerfCommand,
  rdma: async () => (await import("./rdma.js")).addRdmaCommand,
  probe: async () => (await import("./probe.js")).addProbeCommand,
  bind: async () => (await import("./bind.js")).addBindCommands,
  unbind: async () => (await import("./bind.js")).addBindCommands,
  doctor: async () => (await import("./doctor.js")).addDoctorCommand,
};

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

// A word may also be an option's value: whatever is a command's name is loaded. Help is about all of them.
const named = process.argv.filter((word) => Object.hasOwn(COMMANDS, word));
const wanted = named.length > 0 ? named : Object.keys(COMMANDS);
const adders = await Promise.all(wanted.map((name) => COMMANDS[name]!()));
for (const add of new Set(adders)) add(program);

try {
  await program.parseAsync();
} catch (error) {
  const { line, exitCode } = describeFailure(error);
  if (line !== null) process.stderr.write(`${line}\n`);
  process.exitCode = exitCode;
}
