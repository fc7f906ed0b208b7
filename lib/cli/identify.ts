import type { Command } from "commander";
import { findNamespace } from "../io/namespaces.js";
import { P2pError } from "../errors.js";
import { hasDescriptors } from "../nvme/admin/identify.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { readRegisters } from "../nvme/register-fields.js";
import { Cns } from "../nvme/spec.js";
import { parseBdf, type Bdf } from "../pci/bdf.js";
import type { Session } from "../session.js";
import { EXIT } from "./failure.js";
import { runJob, type Job } from "./job.js";
import { refuseTogether, type GlobalOptions } from "./options.js";
import { identifyCsv, identifyJson } from "./output/identify-data.js";
import { identifyText } from "./output/identify-text.js";
import { packageVersion } from "../version.js";
import type { IdentifyReport, NamespaceReport } from "./report.js";

interface IdentifyOptions extends GlobalOptions {
  json?: boolean;
  regs?: boolean;
  raw?: boolean;
}

/** A controller, or one of its namespaces. */
interface Target {
  device: Bdf;
  nsid: number | null;
}

export function addIdentifyCommand(program: Command): void {
  program
    .command("identify")
    .description("show what an NVMe controller or a namespace says about itself, field by field")
    .argument("<target>", "BDF for the controller, BDF/NSID for one of its namespaces")
    .option("--json", "the same as --output-format json")
    .option("--regs", "the controller's registers instead, which it need not be started for")
    .option("--raw", "the 4096 bytes of the data structure as they are")
    .addHelpText(
      "after",
      `
Fields have the names of the NVMe specification. Numbers of 128 bits are decimal strings in JSON.
The device must be bound to vfio-pci. Without --regs the controller is started and shut down again.
With it, it is not, but the kernel resets the function, where it can, as it opens and closes it for
VFIO: registers such as CC and CSTS are then those after a reset. A hidden controller memory buffer
is made to show where it is meanwhile.

Examples:
  p2pmem identify 0000:03:00.0
  p2pmem identify 0000:03:00.0/1 --json
  p2pmem identify 0000:03:00.0 --regs
  p2pmem identify 0000:03:00.0 --raw | xxd`,
    )
    .action(async (target: string, _options: unknown, command: Command) => {
      refuseTogether(command, "json", ["outputFormat", "raw"]);
      refuseTogether(command, "raw", ["regs", "outputFormat"]);
      process.exitCode = await identify(
        parseTarget(target),
        command.optsWithGlobals<IdentifyOptions>(),
      );
    });
}

/** Errors: BAD_ENDPOINT. */
function parseTarget(text: string): Target {
  const [, device = "", id] = /^([^/]*)(?:\/(\d+))?$/.exec(text.trim()) ?? [];
  const nsid = id === undefined ? null : Number(id);
  // NVMe 1.4 §6.1.2: 0 and FFFFFFFFh do not name a namespace.
  if (device === "" || nsid === 0 || (nsid ?? 0) >= 0xffff_ffff)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is neither a controller nor a namespace`, {
      hint: "write BDF or BDF/NSID, such as 0000:03:00.0/1",
    });
  return { device: parseBdf(device), nsid };
}

async function identify(target: Target, options: IdentifyOptions): Promise<number> {
  if (options.regs === true && target.nsid !== null)
    throw new P2pError("BAD_ARGUMENT", "--regs is about a controller, not about a namespace");
  return runJob(options, [target.device], async (job) => {
    if (options.raw === true) await writeRaw(job, target);
    else write(job, options, await describe(job.session, target, options.regs === true));
    return EXIT.ok;
  });
}

async function writeRaw({ session, output }: Job, { device, nsid }: Target): Promise<void> {
  if (output.isTerminal)
    throw new P2pError("BAD_ARGUMENT", "--raw writes bytes that a terminal cannot show", {
      hint: "send them to a file or a pipe: --output FILE, | xxd",
    });
  const { admin } = await session.controller(device);
  if (nsid !== null) await findNamespace(session, { device, nsid, offset: 0 });
  const cns = nsid === null ? Cns.CONTROLLER : Cns.NAMESPACE;
  const { buffer } = await admin.identify(cns, nsid ?? 0);
  output.write(new Uint8Array(buffer));
}

function write({ output }: Job, options: IdentifyOptions, report: IdentifyReport): void {
  if (options.json === true || options.outputFormat === "json") output.write(identifyJson(report));
  else if (options.outputFormat === "csv") output.write(identifyCsv(report));
  else output.write(identifyText(report));
}

async function describe(
  session: Session,
  { device, nsid }: Target,
  regs: boolean,
): Promise<IdentifyReport> {
  const known = { version: packageVersion(), platform: session.platform.kind, address: device };
  if (regs) return { ...known, registers: registersOf(session, device) };
  if (nsid !== null) {
    const namespace = await findNamespace(session, { device, nsid, offset: 0 });
    return { ...known, namespace: await describeNamespace(namespace) };
  }
  const controller = await session.controller(device);
  const namespaces = controller.namespaces.map((namespace) => ({
    nsid: namespace.nsid,
    bytes: namespace.size,
    block_bytes: namespace.blockSize,
    metadata_bytes: namespace.metadataSize,
  }));
  return { ...known, controller: controller.identity, namespaces };
}

async function describeNamespace({
  controller,
  nsid,
  identity,
}: NvmeNamespace): Promise<NamespaceReport> {
  const descriptors = hasDescriptors(controller.identity)
    ? await controller.admin.namespaceDescriptors(nsid)
    : null;
  return { nsid, identity, descriptors };
}

/** Of a controller that is not started for it, and need not be fit for that. */
function registersOf(session: Session, address: Bdf): ReturnType<typeof readRegisters> {
  if (!session.pci.get(address).isNvme)
    throw new P2pError("NOT_NVME", `${address} is no NVMe controller`, {
      device: address,
      hint: "p2pmem list shows the controllers",
    });
  const { addressSpace } = session;
  const device = addressSpace.openDevice(address);
  try {
    return readRegisters(device.region(0), address);
  } finally {
    addressSpace.closeDevice(address);
  }
}
