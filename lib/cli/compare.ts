import type { Command } from "commander";
import { compareReports, type Comparison } from "../bench/compare/compare.js";
import { readReport } from "../bench/compare/read.js";
import { P2pError } from "../errors.js";
import { EXIT } from "./failure.js";
import { writeOutput } from "./host-command.js";
import { valueOption, type GlobalOptions } from "./options.js";
import { compareCsv, compareJson, compareText } from "./output/compare.js";

interface CompareOptions extends GlobalOptions {
  tolerance: number;
}

const EXIT_CODES: Record<Comparison["verdict"], number> = {
  worse: EXIT.mismatch,
  unknown: EXIT.error,
  "not worse": EXIT.ok,
};

export function addCompareCommand(program: Command): void {
  program
    .command("compare")
    .description("compare two reports of bench: better, worse, or within noise")
    .argument("<old>", "what bench --output-format json wrote")
    .argument("<new>", "likewise, later")
    .addOption(
      valueOption(
        "--tolerance <percent>",
        "how much worse a figure may be",
        parseTolerance,
      ).default(0.05, "5%"),
    )
    .addHelpText(
      "after",
      `
Results are compared that have the same job, path, provider, endpoints and swept parameters; where
size, randseed or verify differ a warning says so. Higher is better for bandwidth and IOPS, lower
for mean latency and CPU time a block. Each ratio is new / old; its interval comes from the samples
of both runs (bootstrap of the medians' ratio). Where it holds 1 the two are within noise. Where the
old result failed there is nothing to judge.

The samples of one run cannot show what differs from run to run: compare two runs of the same
version first.

Exit codes: 3 where a figure's whole interval is worse than the tolerance, data is not right that
was, or a result failed or is missing; 1 where no result could be judged; else 0.

Examples:
  p2pmem bench --output-format json --output old.json
  p2pmem compare old.json new.json
  p2pmem compare old.json new.json --tolerance 2% --output-format csv`,
    )
    .action(async (old: string, now: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CompareOptions>();
      const comparison = compareReports(
        { file: old, report: await readReport(old) },
        { file: now, report: await readReport(now) },
        options.tolerance,
      );
      writeOutput(options, () => format(comparison, options));
      process.exitCode = EXIT_CODES[comparison.verdict];
    });
}

function format(comparison: Comparison, { outputFormat }: CompareOptions): string {
  if (outputFormat === "json") return compareJson(comparison);
  return outputFormat === "csv" ? compareCsv(comparison) : compareText(comparison);
}

/** With its sign, so that nobody takes 0.05 for one in twenty. */
function parseTolerance(text: string): number {
  const part = /^(\d+(?:\.\d+)?) ?%$/.exec(text.trim())?.[1];
  if (part !== undefined && Number(part) < 100) return Number(part) / 100;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a share below 100 %`, {
    hint: "write 5%, or 0.5%",
  });
}
