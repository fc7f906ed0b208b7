import { randomInt } from "node:crypto";
import { Argument, Option, type Command } from "commander";
import { MOST_CPUS, parseCpuList } from "../cpu-list.js";
import { parseEndpoint } from "../io/endpoint.js";
import type { Endpoint } from "../io/endpoint.js";
import { P2pError } from "../errors.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import { runPerf } from "../perf/perf.js";
import { formatProvider, parseProvider, PROVIDER_FORM } from "../p2pmem/provider-name.js";
import type { ProviderSpec } from "../p2pmem/provider-name.js";
import { DEFAULT_READ_PERCENT, isMixed, PATTERNS } from "../perf/plan.js";
import type { Pattern, PerfPlan } from "../perf/plan.js";
import { perfResult } from "../perf/result.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import {
  descriptorsOption,
  parseCount,
  parsePositiveSize,
  parseSeconds,
  valueOption,
} from "./options.js";
import type { GlobalOptions } from "./options.js";
import { perfCsv, perfJson, perfText, workloadLine } from "./output/perf.js";
import { Progress } from "./progress.js";
import { packageVersion } from "../version.js";

interface PerfOptions extends GlobalOptions {
  ioDepth: number;
  ioSize: number;
  ioPattern: Pattern;
  rwmixread?: number;
  time: number;
  warmupTime: number;
  coreMask: number[];
  numQpairs: number;
  interrupts?: boolean;
  descriptors: Descriptors;
  sqInCmb?: boolean;
  latency: number;
  seed?: number;
  provider?: ProviderSpec;
  size?: number;
  loops?: number;
  rateIops?: number;
}

/** Levels of -L. */
const HISTOGRAMS = 2;

export function addPerfCommand(program: Command): void {
  program
    .command("perf")
    .description("measure reads and writes of NVMe namespaces by themselves, as SPDK's perf does")
    .addArgument(
      new Argument("<namespace...>", "BDF[/NSID][@OFFSET[+LENGTH]]").argParser(
        (text, before: Endpoint[] | undefined) => [...(before ?? []), parseEndpoint(text)],
      ),
    )
    .addOption(
      valueOption("-q, --io-depth <n>", "I/Os in flight, a namespace and core", parseCount).default(
        32,
      ),
    )
    .addOption(
      valueOption("-o, --io-size <size>", "bytes of an I/O", parsePositiveSize).default(4096, "4k"),
    )
    .addOption(
      new Option("-w, --io-pattern <name>", "what the I/Os do")
        .choices(PATTERNS)
        .default("randread"),
    )
    .addOption(
      valueOption(
        "-M, --rwmixread <percent>",
        `reads among the I/Os of rw and randrw (default: ${DEFAULT_READ_PERCENT})`,
        parsePercent,
      ),
    )
    .addOption(
      valueOption(
        "--provider <name>",
        `whose memory the I/Os use: ${PROVIDER_FORM}`,
        parseProvider,
      ),
    )
    .addOption(valueOption("-t, --time <seconds>", "to measure for", parseSeconds).default(5))
    .addOption(valueOption("--size <size>", "bytes of each namespace to use", parsePositiveSize))
    .addOption(
      valueOption("--loops <n>", "times through all of it, in place of -t", parseCount).conflicts(
        "time",
      ),
    )
    .addOption(valueOption("--rate-iops <n>", "I/Os a second of each core, at most", parseCount))
    .addOption(
      valueOption("-a, --warmup-time <seconds>", "of I/O before, not counted", parseWarmUp).default(
        0,
      ),
    )
    .addOption(
      valueOption(
        "-c, --core-mask <cores>",
        "a thread pinned to each: 0x3, or [0,1]",
        parseCores,
      ).default([], "one thread, not pinned"),
    )
    .addOption(
      valueOption(
        "-P, --num-qpairs <n>",
        "queue pairs that share the depth, a namespace and core",
        parseCount,
      ).default(1),
    )
    .option("--interrupts", "wait for MSI-X interrupts; no core polls")
    .addOption(descriptorsOption())
    .option("--sq-in-cmb", "submission queues in the controllers' CMBs")
    .option(
      "-L, --latency",
      "show percentiles of the latency; -LL all of its histogram",
      (_value: string, level: number) => level + 1,
      0,
    )
    .addOption(
      valueOption("--seed <n>", "of the random places and of the mix (default: any)", parseSeed),
    )
    .addHelpText(
      "after",
      `
Patterns: ${PATTERNS.join(", ")}. All but read and randread
OVERWRITE the namespace, or the range that is named; on real devices they need --allow-write.
Sequential I/O of several cores gives each a part of the range. Sizes take k, m, g, t (1024-based).

--provider has the I/Os read into and write from the memory of that device, peer to peer.
--rate-iops spaces them evenly; -a has as many before, which are waited for and do not count.

Latency is from submission to the poll that finds the completion. A core that polls is busy all the
time; what part of it was spent on I/Os is said below the table. --interrupts has one thread sleep
until a completion is told of, as the kernel's drivers do: it costs time for each, and spares cores.

Examples:
  p2pmem perf 0000:04:00.0
  p2pmem perf 0000:03:00.0 0000:04:00.0 --provider 0000:05:00.0 -o 128k -w read
  p2pmem perf 0000:04:00.0/1 -q 128 -o 4k -w randread -t 10 -c 0x3 -L
  p2pmem perf 0000:03:00.0 0000:04:00.0@1g+8g -w randrw -M 70 --allow-write --output-format json`,
    )
    .action(async (targets: Endpoint[], _options: unknown, command: Command) => {
      process.exitCode = await perf(targets, command.optsWithGlobals<PerfOptions>());
    });
}

async function perf(targets: readonly Endpoint[], options: PerfOptions): Promise<number> {
  const named = options.provider === undefined ? [] : [options.provider.device];
  const devices = [...targets.map(({ device }) => device), ...named];
  return runJob(options, devices, async ({ session, output, signal }) => {
    const isNormal = options.outputFormat === "normal";
    if (isNormal) output.write(`${session.description}\n`);
    const progress = new Progress(options.ioPattern);
    const plan: PerfPlan = {
      targets,
      pattern: options.ioPattern,
      ...(options.rwmixread === undefined ? {} : { readPercent: options.rwmixread }),
      ioSize: options.ioSize,
      depth: options.ioDepth,
      queuePairs: options.numQpairs,
      runtime: options.loops === undefined ? options.time : null,
      rampTime: options.warmupTime,
      loops: options.loops ?? 1,
      ...(options.size === undefined ? {} : { size: options.size }),
      rateIops: options.rateIops ?? null,
      provider:
        options.provider === undefined
          ? null
          : await session.provider(formatProvider(options.provider)),
      cpus: options.coreMask,
      interrupts: options.interrupts ?? false,
      descriptors: options.descriptors,
      sqInCmb: options.sqInCmb ?? false,
      seed: options.seed ?? randomInt(2 ** 32),
      allowWrite: options.allowWrite ?? false,
      signal,
      onProgress: (bytes) => {
        progress.update(bytes, null);
      },
    };
    if (isNormal) output.write(`${workloadLine(plan)}\n\n`);
    if (isMixed(plan.pattern) && plan.readPercent === undefined)
      process.stderr.write(
        `p2pmem: note: ${DEFAULT_READ_PERCENT} % are reads, as -M says nothing\n`,
      );
    const measured = await runPerf(session, plan).finally(() => {
      progress.end();
    });
    const report = {
      version: packageVersion(),
      platform: session.platform.kind,
      ...perfResult(plan, measured, { histograms: options.latency >= HISTOGRAMS }),
    };
    if (options.outputFormat === "json") output.write(perfJson(report));
    else if (options.outputFormat === "csv") output.write(perfCsv(report));
    else output.write(perfText(report, options.latency > 0));
    return EXIT.ok;
  });
}

function parsePercent(text: string): number {
  const percent = Number(text);
  if (/^\d+$/.test(text) && percent <= 100) return percent;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a percentage from 0 to 100`);
}

function parseWarmUp(text: string): number {
  return /^0+s?$/.test(text) ? 0 : parseSeconds(text);
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (/^\d+$/.test(text) && seed < 2 ** 32) return seed;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a number from 0 to 4294967295`);
}

/**
 * Numbers of cores, from a mask in hexadecimal or a list in brackets, `[0,2-4]`, as SPDK has them.
 * Errors: BAD_ARGUMENT.
 */
export function parseCores(text: string): number[] {
  const list = /^\[(.*)\]$/.exec(text.trim())?.[1];
  const cores = list === undefined ? coresOfMask(text.trim()) : parseCpuList(list);
  if (cores !== null && cores.length > 0) return cores;
  throw new P2pError("BAD_ARGUMENT", `"${text}" names no cores`, {
    hint: "write a mask in hexadecimal, such as 0x3, or a list, such as [0,2-4]",
  });
}

function coresOfMask(text: string): number[] | null {
  const digits = /^(?:0x)?([\da-f]+)$/i.exec(text)?.[1];
  if (digits === undefined || digits.length > MOST_CPUS / 4) return null;
  const mask = BigInt(`0x${digits}`);
  return Array.from({ length: 4 * digits.length }, (_, core) => core).filter(
    (core) => ((mask >> BigInt(core)) & 1n) === 1n,
  );
}
