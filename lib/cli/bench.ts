import type { Command } from "commander";
import { readJobs, runJobs } from "../bench/bench.js";
import { BenchError } from "../bench/error.js";
import { listText } from "../bench/job/builtin.js";
import { isKernelOnly, namedDevices, platformOf } from "../bench/jobs.js";
import type { BenchReport } from "../bench/report.js";
import { junitXml } from "../bench/tests/junit.js";
import { tapText } from "../bench/tests/tap.js";
import { renderHtml } from "../report/html.js";
import { BenchProgressLine } from "./bench-progress.js";
import { addJobOptions, overridesOf } from "./bench-options.js";
import { wantsColors } from "./colors.js";
import { describeFailure, EXIT } from "./failure.js";
import { runJob } from "./job.js";
import { parseFileName, valueOption, type BenchFormat, type GlobalOptions } from "./options.js";
import { benchCsv } from "./output/bench/csv.js";
import { benchFioJson } from "./output/bench/fio.js";
import { benchJson } from "./output/bench/json.js";
import { benchText } from "./output/bench/normal.js";
import { OutputFile } from "./output-file.js";

interface BenchOptions extends Omit<GlobalOptions, "outputFormat"> {
  outputFormat: BenchFormat;
  list?: boolean;
  yes?: boolean;
  tap?: boolean;
  junit?: string;
  report?: string;
}

export function addBenchCommand(program: Command): void {
  const command = program
    .command("bench")
    .description("measure copies and I/Os by every path, and what that gains")
    .argument("[job...]", "job files, or built-in jobs (default: quick)")
    .option("--list", "show the built-in jobs")
    .option("--yes", "run more than 10,000 combinations")
    .option("--tap", "write results as TAP, in place of --output-format")
    .addOption(valueOption("--junit <file>", "write them as JUnit XML, too", parseFileName))
    .addOption(valueOption("--report <file>", "write an HTML page with plots, too", parseFileName));
  addJobOptions(command);
  command
    .addHelpText(
      "after",
      `
Every option of the middle part is a parameter of jobs (docs/job-file.md) and overrides theirs.
Lists are separated by commas and sweep, sizes take k, m, g, t (1024-based), times ms, s, m, h.
Without --src and --dst, the first two NVMe namespaces; without --provider, the closest one. On real
devices a namespace that was not named is never written.

Each combination is measured --samples times; those that differ in path or provider take turns.
Figures are medians; ±% is half of the interval that holds the median, with the confidence that the
table's heading says. CPU ns/block is the driver's time for each block, empty polls left out; host
B/B and root B/B are the payload bytes that crossed host memory and the root complex for each byte;
% of limit (loopback only) compares with two memcpys a block by one thread. --verify checks the data
of every sample, apart from the timing: by memcmp, against the source, which is only read. With
--verify=crc32c and --verify=pattern blocks tell stale, swapped and shifted data: for that they
OVERWRITE the source of a copy. Writes that copy nothing (rw) take one of these two.

What fails while it runs is reported as failed, and the rest goes on; so is what cannot run, where
it is one of all (each, all). What was named and cannot run is an error before anything runs.
Interrupted, it writes what it has, marked as incomplete. Exit code 3: an expectation failed, or
data was not right; 1: something else failed.

Examples:
  p2pmem bench
  p2pmem bench paths --bs 4k,1m --iodepth 1,64 --samples 10 --report out.html
  p2pmem bench job.yaml --output-format json --output result.json --junit result.xml
  p2pmem bench --src 0000:03:00.0/1 --dst 0000:04:00.0/1@0+8g --allow-write --verify
  p2pmem bench --rw randwrite --src 0000:03:00.0/1@0+8g --allow-write --verify=crc32c
  p2pmem bench --rw randread --path p2p,host --src 0000:03:00.0 --expect 'p2p.iops >= host.iops'`,
    )
    .action(async (names: string[], _options: unknown, command: Command) => {
      process.exitCode = await bench(names, command.optsWithGlobals<BenchOptions>());
    });
}

async function bench(names: readonly string[], options: BenchOptions): Promise<number> {
  if (options.list === true) {
    process.stdout.write(listText());
    return EXIT.ok;
  }
  const jobs = await readJobs({
    jobs: names,
    overrides: overridesOf({ ...options }),
    yes: options.yes ?? false,
  });
  const files = new ReportFiles(options);
  try {
    const where = { ...options, ...platformOf(jobs, options) };
    return await runJob(where, namedDevices(jobs), async ({ session, output, signal }) => {
      const format = options.tap === true ? "tap" : options.outputFormat;
      const machine = isKernelOnly(jobs) ? KERNEL_DESCRIPTION : session.description;
      if (format === "normal") output.write(`${machine}\n\n`);
      const progress = new BenchProgressLine();
      const write = (report: BenchReport): void => {
        output.write(textOf(report, format, output));
        files.write(report);
      };
      try {
        const report = await runJobs(session, jobs, {
          allowWrite: options.allowWrite ?? false,
          yes: options.yes ?? false,
          histograms: format === "json+",
          command: ["p2pmem", ...process.argv.slice(2)],
          signal,
          onProgress: (told) => {
            progress.update(told);
          },
        }).finally(() => {
          progress.end();
        });
        write(report);
        return exitCodeOf(report);
      } catch (error) {
        if (!(error instanceof BenchError)) throw error;
        // What there is until then; the error is said as well.
        write(error.report);
        output.finish();
        const exitCode = exitCodeOf(error.report);
        if (error.report.incomplete || exitCode === EXIT.ok) throw error;
        // What was expected and does not hold outweighs that something failed.
        process.stderr.write(`${describeFailure(error).line}\n`);
        return exitCode;
      }
    });
  } finally {
    files.discard();
  }
}

const KERNEL_DESCRIPTION = "this machine's devices through the kernel's own driver";

function textOf(report: BenchReport, format: BenchFormat | "tap", output: OutputFile): string {
  switch (format) {
    case "tap":
      return tapText(report);
    case "json":
      return benchJson(report);
    case "json+":
      return benchFioJson(report, new Date());
    case "csv":
      return benchCsv(report);
    default:
      return benchText(report, wantsColors(output.isTerminal));
  }
}

function exitCodeOf({ expectations, results }: BenchReport): number {
  const isWrong =
    expectations.some(({ outcome }) => outcome !== "pass") ||
    results.some(({ verify }) => verify !== null && verify.mismatches > 0);
  return isWrong ? EXIT.mismatch : EXIT.ok;
}

/** Files beside the output, opened before anything runs, so that one that cannot be written is known. */
class ReportFiles {
  readonly #files: { file: OutputFile; render: (report: BenchReport) => string }[] = [];

  /** Errors: OUTPUT_FILE. */
  constructor({ junit, report }: BenchOptions) {
    try {
      for (const [path, render] of [
        [junit, junitXml],
        [report, renderHtml],
      ] as const)
        if (path !== undefined) this.#files.push({ file: new OutputFile(path), render });
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  /** Errors: OUTPUT_FILE. */
  write(report: BenchReport): void {
    for (const { file, render } of this.#files) {
      file.write(render(report));
      file.finish();
    }
  }

  discard(): void {
    for (const { file } of this.#files) file.discard();
  }
}
