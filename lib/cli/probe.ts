import { Argument, type Command } from "commander";
import { formatEndpoint, parseEndpoint } from "../io/endpoint.js";
import type { Endpoint } from "../io/endpoint.js";
import { formatProvider, parseProvider, PROVIDER_FORM } from "../p2pmem/provider-name.js";
import type { ProviderSpec } from "../p2pmem/provider-name.js";
import { provePath, unprovedError, type PathProof } from "../proof/path.js";
import { describeFailure, EXIT } from "./failure.js";
import { runJob } from "./job.js";
import { valueOption, type GlobalOptions } from "./options.js";
import { probeCsv, probeJson, probeTable, type ProbeReport } from "./output/probe.js";
import { packageVersion } from "../version.js";

interface ProbeOptions extends GlobalOptions {
  scratch?: Endpoint;
}

export function addProbeCommand(program: Command): void {
  program
    .command("probe")
    .description("prove that a peer-to-peer path carries data, both ways, to and from each device")
    .addArgument(new Argument("<src>", "BDF[/NSID][@OFFSET[+LENGTH]]").argParser(parseEndpoint))
    .addArgument(
      new Argument("<peer>", `the peer memory, ${PROVIDER_FORM}`).argParser(parseProvider),
    )
    .addArgument(new Argument("<dst>", "as src").argParser(parseEndpoint))
    .addOption(
      valueOption(
        "--scratch <endpoint>",
        "may be written and is restored, where Compare tells nothing",
        parseEndpoint,
      ),
    )
    .addHelpText(
      "after",
      `
A copy needs two legs, which decide: src writes to the peer memory, and dst reads from there.
Devices write by NVMe Read, and read by NVMe Compare: only the peer memory is changed, and what a
PMR holds is put back.

Exit codes: 0 proved; 3 no data passes, lost in silence or refused; 1 neither could be shown.

Examples:
  p2pmem probe 0000:03:00.0 0000:05:00.0 0000:04:00.0
  p2pmem probe 0000:03:00.0/1 0000:03:00.0/cmb 0000:04:00.0/1 --output-format json
  p2pmem probe 0000:03:00.0 0000:05:00.0 0000:04:00.0 --scratch 0000:04:00.0/1@1g+64k --allow-write`,
    )
    .action(
      async (
        source: Endpoint,
        provider: ProviderSpec,
        destination: Endpoint,
        _options: unknown,
        command: Command,
      ) => {
        const options = command.optsWithGlobals<ProbeOptions>();
        process.exitCode = await probe(source, provider, destination, options);
      },
    );
}

async function probe(
  source: Endpoint,
  spec: ProviderSpec,
  destination: Endpoint,
  options: ProbeOptions,
): Promise<number> {
  const { scratch, outputFormat } = options;
  const named = [source, spec, destination, ...(scratch === undefined ? [] : [scratch])];
  const devices = named.map(({ device }) => device);
  const proof = await runJob(options, devices, async ({ session, output, signal }) => {
    const provider = await session.provider(formatProvider(spec));
    const proof = await provePath(session, {
      ...{ source, destination, provider, signal },
      ...(scratch === undefined ? {} : { scratch }),
      allowWrite: options.allowWrite ?? false,
    });
    const report: ProbeReport = {
      version: packageVersion(),
      platform: session.platform.kind,
      source: formatEndpoint(source),
      provider: provider.name,
      destination: formatEndpoint(destination),
      ...proof,
    };
    if (outputFormat === "json") output.write(probeJson(report));
    else if (outputFormat === "csv") output.write(probeCsv(report));
    else output.write(`${session.description}\n${probeTable(report)}`);
    return proof;
  });
  return conclude(proof);
}

/** The exit code. Where nothing was shown, standard error says what to do. */
function conclude({ verdict, legs }: PathProof): number {
  if (verdict === "proved") return EXIT.ok;
  if (verdict === "loses data" || verdict === "refused") return EXIT.mismatch;
  const { line, exitCode } = describeFailure(unprovedError(legs));
  process.stderr.write(`${line}\n`);
  return exitCode;
}
