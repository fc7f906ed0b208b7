import { type Command, Option } from "commander";
import { COPY_PATHS, type CopyPath } from "../copy/plan.js";
import { P2pError } from "../errors.js";
import { DESCRIPTORS } from "../nvme/descriptors/data-pointer.js";
import { parseSize } from "../units.js";

export const OUTPUT_FORMATS = ["normal", "json", "csv"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];
/** Of a benchmark, as fio's json+ too. */
const FIO_FORMAT = "json+";
export type BenchFormat = OutputFormat | typeof FIO_FORMAT;

/** What every command takes. */
export interface GlobalOptions {
  platform: "auto" | "vfio" | "loopback";
  machine?: string;
  outputFormat: OutputFormat;
  output?: string;
  allowWrite?: boolean;
  /** Seconds. */
  timeout?: number;
}

export function addGlobalOptions(program: Command): void {
  program
    .hook("preAction", (_program, command) => {
      const { outputFormat } = command.optsWithGlobals<{ outputFormat: BenchFormat }>();
      if (outputFormat === FIO_FORMAT && command.name() !== "bench")
        throw new P2pError("BAD_ARGUMENT", `${command.name()} has no output format ${FIO_FORMAT}`, {
          hint: `it has ${OUTPUT_FORMATS.join(", ")}`,
        });
    })
    .addOption(
      new Option("--platform <name>", "the machine to work on")
        .choices(["auto", "vfio", "loopback"])
        .default("auto"),
    )
    .addOption(
      valueOption(
        "--machine <file>",
        "the loopback machine: a YAML file, or a built-in one: default, acs, rdma",
        parseFileName,
      ),
    )
    .addOption(
      new Option("--output-format <format>", "how results are written; json+: as fio's, of bench")
        .choices([...OUTPUT_FORMATS, FIO_FORMAT])
        .default("normal"),
    )
    .addOption(
      valueOption(
        "--output <file>",
        "write results there instead of to standard output",
        parseFileName,
      ),
    )
    .option("--allow-write", "write to named namespaces of real devices")
    .addOption(
      valueOption(
        "--timeout <seconds>",
        "how long a command of an NVMe controller may take (default: 30)",
        parseSeconds,
      ),
    );
}

/** An option with a value, whose failures name it. */
export function valueOption(
  flags: string,
  description: string,
  parse: (text: string) => unknown,
): Option {
  const option = new Option(flags, description);
  return option.argParser((text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof P2pError)) throw error;
      throw new P2pError(error.code, `${option.long}: ${error.message}`, error);
    }
  });
}

/** Such an option that may be repeated: its values in a list, each once. */
export function repeatedOption(
  flags: string,
  description: string,
  parse: (text: string) => unknown,
): Option {
  const values = new Set<unknown>();
  return valueOption(flags, description, (text) => [...values.add(parse(text))]);
}

/** Commander knows conflicts only within a command's own options. Errors: BAD_ARGUMENT. */
export function refuseTogether(command: Command, name: string, others: readonly string[]): void {
  const given = (option: string): boolean =>
    command.getOptionValueSourceWithGlobals(option) === "cli";
  const other = others.find(given);
  if (!given(name) || other === undefined) return;
  const flag = (option: string): string =>
    `--${option.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new P2pError("BAD_ARGUMENT", `${flag(name)} and ${flag(other)} exclude each other`);
}

/** For a comma list; a value that stands twice counts once. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => [...new Set(text.split(",").map((item) => parse(item.trim())))];
}

/** For commands that move data. */
export function descriptorsOption(): Option {
  return new Option(
    "--descriptors <kind>",
    "how commands name memory: PRPs, SGLs, or what suits each",
  )
    .choices(DESCRIPTORS)
    .default("auto");
}

export const JOBS = "threads that share the work; each keeps a core busy: no more than there are";
export const SQ_IN_CMB = "submission queues in their controller's CMB, where it takes them";
export const LISTS_IN_CMB = "PRP lists and SGLs in their controller's CMB, where it takes them";

/** Empty where a script's variable is not set, say. */
export function parseFileName(text: string): string {
  if (text === "") throw new P2pError("BAD_ARGUMENT", "the file's name is empty");
  return text;
}

export function parseName(text: string): string {
  if (text !== "") return text;
  throw new P2pError("BAD_ARGUMENT", "the name is empty");
}

export function parsePositiveSize(text: string): number {
  const size = parseSize(text);
  if (size === 0) throw new P2pError("BAD_SIZE", "the size is 0");
  return size;
}

export function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count > 0 && Number.isSafeInteger(count)) return count;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a count of 1 or more`);
}

export function parseIndex(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a number of 0 or more`);
}

export function parseSeconds(text: string): number {
  const seconds = Number(text.replace(/s$/, ""));
  if (text.trim() !== "" && seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a number of seconds above 0`);
}

export function parsePath(text: string): CopyPath {
  const path = COPY_PATHS.find((name) => name === text);
  if (path !== undefined) return path;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a path`, {
    hint: `there are ${COPY_PATHS.join(", ")}`,
  });
}
