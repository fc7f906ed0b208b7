import { Argument, type Command, Option } from "commander";
import { runCopyWithLimit } from "../bench/limited-copy.js";
import { chooseProvider } from "../bench/choose.js";
import { formatEndpoint, isRemote, parseAnyEndpoint } from "../io/endpoint.js";
import type { AnyEndpoint, Endpoint } from "../io/endpoint.js";
import { formatProvider, parseProvider, PROVIDER_FORM } from "../p2pmem/provider-name.js";
import { COPY_PATHS, needsProvider, type CopyPath, type CopyPlan } from "../copy/plan.js";
import { copyResult } from "../copy/result.js";
import { prepareToVerify } from "../copy/verified.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Provider } from "../p2pmem/provider.js";
import { VERIFY_MODES, type VerifyMode } from "../verify/mode.js";
import { EXIT } from "./failure.js";
import { runJob, type Job } from "./job.js";
import {
  descriptorsOption,
  JOBS,
  LISTS_IN_CMB,
  parseCount,
  parsePositiveSize,
  SQ_IN_CMB,
  valueOption,
} from "./options.js";
import { Progress } from "./progress.js";
import {
  checkEndpoints,
  remoteCopy,
  remoteCopyOptions,
  type RemoteCopyOptions,
} from "./remote-copy.js";
import { writeCopyReport } from "./write-report.js";

interface CopyOptions extends RemoteCopyOptions {
  descriptors: Descriptors;
  via: CopyPath;
  sqInCmb?: boolean;
  listsInCmb?: boolean;
  jobs: number;
}

export function addCopyCommand(program: Command): void {
  const command = program
    .command("copy")
    .description(
      "copy part of one NVMe namespace to another, of this machine or by RDMA of another",
    )
    .addArgument(
      new Argument(
        "<src>",
        "BDF[/NSID][@OFFSET[+LENGTH]], or rdma://HOST[:PORT]/NAMESPACE[@OFFSET[+LENGTH]]",
      ).argParser(parseAnyEndpoint),
    )
    .addArgument(new Argument("<dst>", "likewise").argParser(parseAnyEndpoint))
    .addOption(
      new Option(
        "--via <path>",
        "p2p: through peer memory; host: host memory; cpu: both; nvme-copy: in the controller",
      )
        .choices(COPY_PATHS)
        .default("p2p"),
    )
    .addOption(
      valueOption(
        "--provider <bdf>",
        `the peer memory, ${PROVIDER_FORM} (default: the closest)`,
        parseProvider,
      ),
    )
    .addOption(
      valueOption(
        "--size <size>",
        "bytes to copy (default: LENGTH, or all of the source)",
        parsePositiveSize,
      ),
    )
    .addOption(
      valueOption("--bs <size>", "bytes in a block", parsePositiveSize).default(131072, "128k"),
    )
    .addOption(
      valueOption("--iodepth <n>", "blocks in flight, of each job", parseCount).default(32),
    )
    .addOption(valueOption("--jobs <n>", JOBS, parseCount).default(1))
    .addOption(descriptorsOption())
    .option("--sq-in-cmb", SQ_IN_CMB)
    .option("--lists-in-cmb", LISTS_IN_CMB)
    .addOption(
      new Option(
        "--verify [mode]",
        "look whether all arrived; by memcmp: compare with the source",
      ).choices([...VERIFY_MODES, "none"]),
    );
  for (const option of remoteCopyOptions()) command.addOption(option);
  command
    .addHelpText(
      "after",
      `
Sizes are bytes, or take k, m, g, t (1024-based).

--jobs splits the range among so many threads, each with its own queues and --iodepth blocks in
flight. --via nvme-copy has the controller copy by itself, within a namespace or between two of its
own: it needs the NVMe Copy command, and no provider.

--verify reads source and destination again and compares them. --verify=crc32c and --verify=pattern
OVERWRITE the source first, with blocks that tell stale, swapped and shifted data: on the loopback
machine only.

With p2pmem serve on another machine, one end may be there: blocks then go from the NVMe device into
memory of --staging (auto, or with --provider p2pmem), by RDMA into that of the other side, and into
its NVMe device. What has been written is flushed, read back at both ends and compared by CRC-32C
(nothing is overwritten), unless --verify=none; then it is confirmed. A copy whose connection breaks
goes on at the last confirmed block; one of which nothing moves for 10 s longer than --timeout
counts as broken. Give both sides the --timeout of the slower NVMe device.

Examples:
  p2pmem copy 0000:03:00.0 0000:04:00.0 --size 64m --verify
  p2pmem copy 0000:03:00.0/1@1m+64m 0000:04:00.0/1 --provider 0000:05:00.0 --allow-write
  p2pmem copy 0000:03:00.0 0000:04:00.0 --provider 0000:05:00.0/bar2@1m+16m --allow-write
  p2pmem copy 0000:03:00.0/1@0+1g 0000:03:00.0/2 --via nvme-copy --jobs 2 --allow-write
  p2pmem copy 0000:03:00.0 0000:04:00.0 --via host --bs 1m --iodepth 8 --output-format json
  p2pmem copy 0000:03:00.0 rdma://192.0.2.7/scratch --key-file key --resume journal`,
    )
    .action(
      async (
        source: AnyEndpoint,
        destination: AnyEndpoint,
        _options: unknown,
        command: Command,
      ) => {
        const options = command.optsWithGlobals<CopyOptions>();
        checkEndpoints(source, destination, command);
        process.exitCode =
          isRemote(source) || isRemote(destination)
            ? await remoteCopy(source, destination, options)
            : await copy(source, destination, options);
      },
    );
}

async function copy(
  source: Endpoint,
  destination: Endpoint,
  options: CopyOptions,
): Promise<number> {
  const named = options.provider === undefined ? [] : [options.provider.device];
  return runJob(options, [source.device, destination.device, ...named], async (job) => {
    const { session, output, signal } = job;
    const isNormal = options.outputFormat === "normal";
    if (isNormal) output.write(`${session.description}\n`);
    const plan: CopyPlan = {
      source,
      destination,
      path: options.via,
      provider: await findProvider(job, source, destination, options),
      bs: options.bs,
      iodepth: options.iodepth,
      sqInCmb: options.sqInCmb ?? false,
      listsInCmb: options.listsInCmb ?? false,
      jobs: options.jobs,
      allowWrite: options.allowWrite ?? false,
      signal,
      ...(options.size === undefined ? {} : { size: options.size }),
    };
    const target = `to ${formatEndpoint(destination)}`;
    if (isNormal) output.write(`${formatEndpoint(source)} ${target}, ${describeWay(plan)}\n\n`);
    const mode = verifyMode(options.verify);
    const verify = mode === null ? null : await prepareToVerify(session, plan, mode);
    const progress = new Progress(`copy ${target}`);
    const { measured, limit } = await runCopyWithLimit(session, {
      ...plan,
      onProgress: (bytes, total) => {
        progress.update(bytes, total);
      },
    }).finally(() => {
      progress.end();
    });
    const verification = verify && (await verify(measured.covered));
    writeCopyReport(job, options.outputFormat, [
      { ...copyResult(plan, measured, verification), ...limit },
    ]);
    if (verification === null || verification.first === null) return EXIT.ok;
    process.stderr.write(`p2pmem: first mismatch: ${verification.first.message}\n`);
    return EXIT.mismatch;
  });
}

function verifyMode(mode: CopyOptions["verify"]): VerifyMode | null {
  if (mode === undefined || mode === "none") return null;
  return mode === true ? "memcmp" : mode;
}

function describeWay({ path, provider }: CopyPlan): string {
  if (path === "nvme-copy") return "inside the controller";
  return `through ${provider === null ? "host memory" : provider.name}`;
}

/** The named one, or for peer-to-peer the closest; null where the path needs none. */
async function findProvider(
  { session }: Job,
  source: Endpoint,
  destination: Endpoint,
  options: CopyOptions,
): Promise<Provider | null> {
  if (!needsProvider(options.via)) return null;
  if (options.provider !== undefined) return session.provider(formatProvider(options.provider));
  return (await chooseProvider(session, [source.device, destination.device], options.bs)).provider;
}
