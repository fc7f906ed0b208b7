import type { Command } from "commander";
import { runBench } from "../bench/bench.js";
import { chooseEndpoints, chooseProvider } from "../bench/choose.js";
import { formatEndpoint, parseEndpoint } from "../io/endpoint.js";
import type { Endpoint } from "../io/endpoint.js";
import { formatProvider, parseProvider, PROVIDER_FORM } from "../p2pmem/provider-name.js";
import type { ProviderSpec } from "../p2pmem/provider-name.js";
import { needsProvider, type CopyPath } from "../copy/plan.js";
import { P2pError } from "../errors.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Provider } from "../p2pmem/provider.js";
import { shortSize } from "../units.js";
import { EXIT } from "./failure.js";
import { runJob, type Job } from "./job.js";
import {
  descriptorsOption,
  JOBS,
  LISTS_IN_CMB,
  listOf,
  parseCount,
  parsePath,
  parsePositiveSize,
  parseSeconds,
  SQ_IN_CMB,
  valueOption,
  type GlobalOptions,
} from "./options.js";
import { Progress } from "./progress.js";
import { writeCopyReport } from "./write-report.js";

interface BenchOptions extends GlobalOptions {
  descriptors: Descriptors;
  path: CopyPath[];
  bs: number[];
  iodepth: number[];
  jobs: number[];
  runtime: number;
  src?: Endpoint;
  dst?: Endpoint;
  provider?: ProviderSpec;
  sqInCmb?: boolean;
  listsInCmb?: boolean;
  verify?: boolean;
}

export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .description("measure copies by every path, block size and depth")
    .addOption(
      valueOption("--path <list>", "of p2p, host, cpu, nvme-copy", listOf(parsePath)).default(
        ["p2p", "host", "cpu"],
        "p2p,host,cpu",
      ),
    )
    .addOption(
      valueOption("--bs <list>", "bytes in a block", listOf(parsePositiveSize)).default(
        [4096, 131072],
        "4k,128k",
      ),
    )
    .addOption(
      valueOption("--iodepth <list>", "blocks in flight, of each job", listOf(parseCount)).default(
        [1, 32],
        "1,32",
      ),
    )
    .addOption(valueOption("--jobs <list>", JOBS, listOf(parseCount)).default([1], "1"))
    .addOption(valueOption("--runtime <seconds>", "for each run", parseSeconds).default(1))
    .addOption(valueOption("--src <endpoint>", "BDF[/NSID][@OFFSET[+LENGTH]]", parseEndpoint))
    .addOption(valueOption("--dst <endpoint>", "likewise", parseEndpoint))
    .addOption(valueOption("--provider <bdf>", `the peer memory, ${PROVIDER_FORM}`, parseProvider))
    .addOption(descriptorsOption())
    .option("--sq-in-cmb", SQ_IN_CMB)
    .option("--lists-in-cmb", LISTS_IN_CMB)
    .option("--verify", "stamp the source before each run, look for the stamps after")
    .addHelpText(
      "after",
      `
Without --src and --dst, the first two NVMe namespaces; without --provider, the closest one. On real
devices a namespace that was not named is never written. Lists are separated by commas, sizes take
k, m, g, t (1024-based).

Columns: CPU ns/block is the driver's time for each block, empty polls left out; host B/B and
root B/B are the payload bytes that crossed host memory and the root complex for each byte copied;
% of limit (loopback only) compares with two memcpys a block by one thread, whatever the jobs. Each
job is a thread with a part of the range and --iodepth blocks in flight of its own; CPU adds up.
The path nvme-copy (not in the default list) has one controller copy by itself, so --src and --dst
must both be its own.

Examples:
  p2pmem bench
  p2pmem bench --path p2p,host --bs 4k,64k,1m --iodepth 1,8,64 --runtime 5
  p2pmem bench --src 0000:03:00.0/1 --dst 0000:04:00.0/1@0+8g --allow-write --output-format json`,
    )
    .action(async (_options: unknown, command: Command) => {
      process.exitCode = await bench(command.optsWithGlobals<BenchOptions>());
    });
}

async function bench(options: BenchOptions): Promise<number> {
  const named = [options.src?.device, options.dst?.device, options.provider?.device];
  const devices = named.filter((device) => device !== undefined);
  return runJob(options, devices, async (job) => {
    const { session, output, signal } = job;
    const isNormal = options.outputFormat === "normal";
    if (isNormal) output.write(`${session.description}\n`);
    const { src = null, dst = null } = options;
    const { source, destination } = await chooseEndpoints(session, src, dst);
    checkNamed(job, options, source, destination);
    const { provider, why } = await findProvider(job, options, source, destination);
    const through = provider === null ? "" : `, provider ${provider.name} (${why})`;
    const head = `${formatEndpoint(source)} to ${formatEndpoint(destination)}${through}\n\n`;
    if (isNormal) output.write(head);
    const results = await runBench(
      session,
      {
        source,
        destination,
        provider,
        paths: options.path,
        bs: options.bs,
        iodepth: options.iodepth,
        jobs: options.jobs,
        runtime: options.runtime,
        sqInCmb: options.sqInCmb ?? false,
        listsInCmb: options.listsInCmb ?? false,
        verify: options.verify ?? false,
        allowWrite: options.allowWrite ?? false,
        signal,
      },
      ({ path, bs, iodepth, jobs }) =>
        new Progress(`${path}, bs ${shortSize(bs)}, depth ${iodepth}, jobs ${jobs ?? 1}`),
    );
    writeCopyReport(job, options.outputFormat, results);
    return results.some(({ verify }) => (verify?.mismatches ?? 0) > 0) ? EXIT.mismatch : EXIT.ok;
  });
}

/** On real devices only what was named is written (--allow-write alone is no choice of a disk). */
function checkNamed(
  { session }: Job,
  { src, dst, verify = false, allowWrite = false }: BenchOptions,
  source: Endpoint,
  destination: Endpoint,
): void {
  if (session.platform.kind === "loopback") return;
  const written: [Endpoint, boolean, string][] = [[destination, dst !== undefined, "--dst"]];
  if (verify) written.push([source, src !== undefined, "--src"]);
  for (const [endpoint, isNamed, option] of written) {
    if (isNamed && allowWrite) continue;
    const name = formatEndpoint(endpoint);
    throw new P2pError("WRITE_NOT_ALLOWED", `the benchmark would overwrite ${name}`, {
      device: endpoint.device,
      hint: `if that is wanted: ${option} ${name} --allow-write`,
    });
  }
}

async function findProvider(
  { session }: Job,
  { provider, path, bs }: BenchOptions,
  source: Endpoint,
  destination: Endpoint,
): Promise<{ provider: Provider | null; why: string }> {
  if (!path.some(needsProvider)) return { provider: null, why: "" };
  if (provider !== undefined)
    return { provider: await session.provider(formatProvider(provider)), why: "as named" };
  const chosen = await chooseProvider(
    session,
    [source.device, destination.device],
    Math.max(...bs),
  );
  return { provider: chosen.provider, why: `the closest, distance ${chosen.distance}` };
}
