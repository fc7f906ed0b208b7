import type { Command } from "commander";
import { P2pError } from "../errors.js";
import { isPersistent } from "../p2pmem/provider-range.js";
import type { PciFunction } from "../pci/function.js";
import type { Session } from "../session.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import type { GlobalOptions } from "./options.js";
import { devicesCsv } from "./output/csv.js";
import { devicesJson } from "./output/json.js";
import { devicesTable } from "./output/normal.js";
import { packageVersion } from "../version.js";
import type { ControllerReport, DeviceReport, ProviderReport } from "./report.js";

export function addListCommand(program: Command): void {
  program
    .command("list")
    .description("show NVMe controllers, their namespaces, and who provides peer memory")
    .addHelpText(
      "after",
      `
Controllers that are not bound to vfio-pci are shown with their driver, and left alone. NICs lend
their device memory (dm) from their own driver, if they let other devices at it. Of a CMB or
PMR "holds" says what its controller lets lie there: submission queues (SQS), completion queues
(CQS), PRP lists and SGLs (LISTS), data of reads (RDS) and of writes (WDS). Copies
need both of these.

Examples:
  p2pmem list
  p2pmem list --platform vfio --output-format json`,
    )
    .action(async (_options: unknown, command: Command) => {
      process.exitCode = await list(command.optsWithGlobals<GlobalOptions>());
    });
}

async function list(options: GlobalOptions): Promise<number> {
  return runJob(options, [], async ({ session, output, signal }) => {
    const report: DeviceReport = {
      version: packageVersion(),
      platform: session.platform.kind,
      controllers: [],
      providers: [],
    };
    for (const fn of session.pci.functions) {
      signal.throwIfAborted();
      if (fn.isNvme) report.controllers.push(await describeController(session, fn));
      report.providers.push(...(await describeProviders(session, fn)));
    }
    if (options.outputFormat === "json") output.write(devicesJson(report));
    else if (options.outputFormat === "csv") output.write(devicesCsv(report));
    else output.write(`${session.description}\n\n${devicesTable(report)}`);
    return EXIT.ok;
  });
}

/** A controller that cannot be opened is listed all the same, with the reason. */
async function describeController(session: Session, fn: PciFunction): Promise<ControllerReport> {
  const known = {
    address: fn.address,
    driver: fn.driver,
    iommu_group: fn.iommuGroup,
  };
  try {
    const { identity, namespaces } = await session.controller(fn.address);
    return {
      ...known,
      model: identity.modelNumber,
      serial: identity.serialNumber,
      firmware: identity.firmwareRevision,
      mdts_bytes: Number.isFinite(identity.maxTransfer) ? identity.maxTransfer : null,
      namespaces: namespaces.map(({ nsid, size, blockSize }) => ({
        nsid,
        bytes: size,
        block_bytes: blockSize,
      })),
      error: null,
    };
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    const { code, message, hint = null } = error;
    return {
      ...known,
      model: null,
      serial: null,
      firmware: null,
      mdts_bytes: null,
      namespaces: [],
      error: { code, message, hint },
    };
  }
}

/**
 * What a device has for its peers, as far as p2pmem gets at it: all of one that VFIO owns, and of a NIC
 * that its kernel driver has the device memory; none where it cannot be asked.
 */
async function describeProviders(session: Session, fn: PciFunction): Promise<ProviderReport[]> {
  if (fn.isBridge || (fn.isNvme && !fn.isOwnedByVfio)) return [];
  try {
    const ranges = await session.providerRanges(fn.address);
    const within = ranges.filter(({ bar }) => fn.isOwnedByVfio || bar === null);
    return within.map((range) => ({
      name: `${fn.address}/${range.kind}`,
      device: fn.address,
      bytes: range.size,
      abilities: range.abilities,
      persistent: isPersistent(range),
    }));
  } catch (error) {
    // A controller that does not open says why among the controllers, an RDMA device elsewhere.
    if (error instanceof P2pError && (fn.isNvme || !fn.isOwnedByVfio)) return [];
    throw error;
  }
}
