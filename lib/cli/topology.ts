import { type Command, Option } from "commander";
import { parseProvider } from "../p2pmem/provider-name.js";
import { P2pError } from "../errors.js";
import { parseBdf, type Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { peerPath } from "../pci/peer-path.js";
import { likelyClients, likelyProviders } from "../pci/peers.js";
import { PciTree } from "../pci/tree.js";
import { readCapture } from "../platform/capture.js";
import { readKernelRelease } from "../platform/sysfs.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import {
  parseFileName,
  refuseTogether,
  repeatedOption,
  valueOption,
  type GlobalOptions,
} from "./options.js";
import { OutputFile } from "./output-file.js";
import { topologyJson } from "./output/topology-json.js";
import { topologyCsv, topologyText, type TopologyView } from "./output/topology.js";
import { packageVersion } from "../version.js";

interface TopologyOptions extends GlobalOptions {
  from?: string;
  provider?: Bdf[];
  client?: Bdf[];
  json?: boolean;
}

export function addTopologyCommand(program: Command): void {
  program
    .command("topology")
    .description("show the PCI tree, and who can reach whose memory, how, and why not")
    .addOption(
      valueOption(
        "--from <dir>",
        "another machine: what scripts/capture-topology wrote there, unpacked",
        parseFileName,
      ),
    )
    .addOption(
      repeatedOption(
        "--provider <bdf>",
        "this provider only (may be repeated)",
        (text) => parseProvider(text).device,
      ),
    )
    .addOption(repeatedOption("--client <bdf>", "this client only (may be repeated)", parseBdf))
    .addOption(new Option("--json", "the same as --output-format json"))
    .addHelpText(
      "after",
      `
Nothing is opened, and VFIO is not needed; but only root sees all of configuration space. Providers
are endpoints with a prefetchable memory BAR of 1 MiB or more, clients are NVMe controllers, network
adapters, GPUs and accelerators. docs/topology.md explains the columns.

Examples:
  p2pmem topology
  p2pmem topology --provider 0000:05:00.0 --client 0000:03:00.0
  p2pmem topology --from capture --json`,
    )
    .action(async (_options: unknown, command: Command) => {
      refuseTogether(command, "from", ["platform", "machine"]);
      refuseTogether(command, "json", ["outputFormat"]);
      process.exitCode = await topology(command.optsWithGlobals<TopologyOptions>());
    });
}

async function topology(options: TopologyOptions): Promise<number> {
  const { from, provider = [], client = [] } = options;
  if (from !== undefined) return showCapture(from, options);
  const named = [...provider, ...client];
  return runJob({ ...options, looksOnly: true }, named, ({ session, output }) => {
    const { kind } = session.platform;
    const kernel = kind === "vfio" ? readKernelRelease() : null;
    const { pci: tree, description } = session;
    write(output, options, { tree, description, source: { kind, path: null, kernel } });
    return Promise.resolve(EXIT.ok);
  });
}

function showCapture(path: string, options: TopologyOptions): number {
  const output = new OutputFile(options.output);
  try {
    const tree = new PciTree(readCapture(path));
    const source = { kind: "capture", path, kernel: readKernelRelease(path) } as const;
    write(output, options, { tree, description: `the machine captured in ${path}`, source });
    output.finish();
    return EXIT.ok;
  } finally {
    output.discard();
  }
}

function write(
  output: OutputFile,
  options: TopologyOptions,
  machine: Pick<TopologyView, "tree" | "description" | "source">,
): void {
  const { tree } = machine;
  const named = (addresses: readonly Bdf[] | undefined): PciFunction[] | undefined =>
    addresses?.map((address) => endpoint(tree, address));
  const view: TopologyView = {
    version: packageVersion(),
    ...machine,
    providers: named(options.provider) ?? likelyProviders(tree),
    clients: named(options.client) ?? likelyClients(tree),
    path: (provider, client) => peerPath(tree, provider, client),
  };
  if (options.json === true || options.outputFormat === "json")
    for (const piece of topologyJson(view)) output.write(piece);
  else output.write(options.outputFormat === "csv" ? topologyCsv(view) : topologyText(view));
}

/** Errors: UNKNOWN_DEVICE; BAD_ENDPOINT for what neither has nor wants memory of its own. */
function endpoint(tree: PciTree, address: Bdf): PciFunction {
  const fn = tree.get(address);
  if (!fn.isBridge) return fn;
  throw new P2pError("BAD_ENDPOINT", `${address} is a bridge, no endpoint`, {
    device: address,
    hint: "name a device below it",
  });
}
