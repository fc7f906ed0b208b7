import { P2pError } from "../../errors.js";
import { nearest } from "../../nearest.js";
import { fieldName } from "../../yaml/field.js";
import type { FileKind } from "../../yaml/source.js";
import {
  BUILTIN_JOBS,
  builtinSettings,
  DEFAULT_JOB,
  isBuiltin,
  type BuiltinName,
} from "./builtin.js";
import { checkCount, combinations, MOST_JOBS, MOST_POINTS } from "./count.js";
import { expand, jobsIn, type BenchJob } from "./job.js";
import { parameterOf, type JobParameters } from "./parameters.js";
import { Settings, type MistakeAt } from "./settings.js";

/** The content of a job file: `global`, and jobs by their names. */
export type JobFile = Readonly<Record<string, JobParameters | null>>;

export interface LoadOptions {
  /** More than MOST_POINTS combinations are wanted. */
  yes?: boolean;
}

/** A job before its lists of jobs are taken apart. */
interface Section {
  name: string;
  file: string | null;
  settings: Settings;
  mistakeAt: MistakeAt;
}

const KIND: FileKind = { name: "job file", code: "BAD_JOB_FILE", document: "docs/job-file.md" };
/** In a job file: parameters of all its jobs. */
const GLOBAL = "global";

/**
 * The jobs of files and built-in ones (`./quick` is a file), in order; `quick` where there are none. The
 * overrides are parameters of each job.
 *
 * Errors: BAD_JOB_FILE, with file, line and field; BAD_ARGUMENT, of an override; TOO_MANY_POINTS.
 */
export async function loadJobs(
  names: readonly string[],
  overrides: JobParameters = {},
  options: LoadOptions = {},
): Promise<BenchJob[]> {
  const over = readOverrides(overrides);
  const sections: Section[] = [];
  for (const name of names.length > 0 ? names : [DEFAULT_JOB])
    sections.push(...(isBuiltin(name) ? [builtinSection(name, over)] : await readFile(name, over)));
  return jobsOf(sections, options);
}

/** The jobs of a program that writes as an object what a job file says. Errors: BAD_ARGUMENT, TOO_MANY_POINTS. */
export function jobsFrom(
  content: JobFile,
  overrides: JobParameters = {},
  options: LoadOptions = {},
): BenchJob[] {
  const over = readOverrides(overrides);
  return jobsOf(sectionsOf(content, null, over, badArgument), options);
}

const badArgument: MistakeAt = (field, what, details) =>
  new P2pError("BAD_ARGUMENT", `${fieldName(field) || "the jobs"}: ${what}`, details);

function readOverrides(overrides: JobParameters): Settings {
  return Settings.read(overrides, badArgument);
}

function builtinSection(name: BuiltinName, overrides: Settings): Section {
  const settings = builtinSettings(name, overrides, badArgument);
  return { name, file: null, settings, mistakeAt: badArgument };
}

async function readFile(file: string, overrides: Settings): Promise<Section[]> {
  // Only here: a command that reads no file need not load what reads YAML.
  const { YamlSource } = await import("../../yaml/source.js");
  const builtin = BUILTIN_JOBS.map(({ name }) => name);
  const near = nearest(file, builtin);
  const meant = near === undefined ? "" : `did you mean ${near}? `;
  const hint = `${meant}name a file, or one of the built-in jobs: ${builtin.join(", ")}`;
  const source = YamlSource.read(file, KIND, hint);
  return sectionsOf(source.content, file, overrides, (...mistake) => source.mistake(...mistake));
}

function sectionsOf(
  content: unknown,
  file: string | null,
  overrides: Settings,
  mistakeAt: MistakeAt,
): Section[] {
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw mistakeAt([], "must be a mapping of jobs, such as { first: { bs: 4k } }");
  const read = (name: string, section: unknown): { settings: Settings; mistakeAt: MistakeAt } => {
    const at: MistakeAt = (field, ...mistake) => mistakeAt([name, ...field], ...mistake);
    return { settings: Settings.read(section, at), mistakeAt: at };
  };
  const { [GLOBAL]: shared = null, ...jobs } = content as Record<string, unknown>;
  const { settings: global } = read(GLOBAL, shared);
  const sections = Object.entries(jobs).map(([name, section]): Section => {
    if (name.trim() === "") throw mistakeAt([name], "a job needs a name");
    const isMapping = typeof section === "object" && section !== null && !Array.isArray(section);
    if (!isMapping && parameterOf(name) !== undefined)
      throw mistakeAt([name], "is a parameter, not a job", {
        hint: "put it under global, or under the name of a job",
      });
    const { settings, mistakeAt: at } = read(name, section);
    const all = settings.over(global.shared()).with(overrides.shared());
    return { name, file, settings: all, mistakeAt: at };
  });
  if (sections.length === 0)
    throw mistakeAt([], "has no job", { hint: "a job is a name with parameters" });
  return sections;
}

function jobsOf(sections: readonly Section[], { yes = false }: LoadOptions): BenchJob[] {
  // Before they are made: a few lists make millions.
  const count = sections.reduce((sum, { settings }) => sum + jobsIn(settings), 0);
  checkCount(count, yes ? MOST_JOBS : MOST_POINTS, yes);
  const files = new Map<string, string | null>();
  const all: BenchJob[] = [];
  for (const { name, file, settings, mistakeAt } of sections)
    for (const job of expand(name, file, settings)) {
      const other = files.get(job.name);
      if (other !== undefined)
        throw mistakeAt(
          [],
          `there is another job "${job.name}", in ${other ?? "the built-in ones"}`,
          {
            hint: "each job has a name of its own",
          },
        );
      files.set(job.name, file);
      all.push(job);
    }
  const points = all.reduce((sum, job) => sum + combinations(job), 0);
  if (!yes) checkCount(points, MOST_POINTS, yes);
  return all;
}
