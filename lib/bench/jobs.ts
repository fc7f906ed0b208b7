import { P2pError } from "../errors.js";
import { parseEndpoint } from "../io/endpoint.js";
import { isKernelEndpoint } from "../kernel/endpoint.js";
import { parseProvider } from "../p2pmem/provider-name.js";
import type { Bdf } from "../pci/bdf.js";
import { parseExpectation, type Expectation } from "./expect/parser.js";
import type { SessionOptions } from "../session.js";
import { isKernelPath } from "./point.js";
import { isWildcard } from "./job/endpoints.js";
import type { BenchJob } from "./job/job.js";

/** Jobs, and what each expects of its results. */
export interface ReadJobs {
  jobs: readonly BenchJob[];
  expectations: readonly { job: string; expression: Expectation }[];
}

/**
 * Errors: BAD_JOB_FILE with file and line, or BAD_EXPRESSION of what no file says; both with the column
 * in the expression, and an excerpt with a caret.
 */
export function readExpectations(jobs: readonly BenchJob[]): ReadJobs["expectations"] {
  return jobs.flatMap((job) =>
    job.expect.map((text, index) => {
      try {
        return { job: job.name, expression: parseExpectation(text) };
      } catch (error) {
        throw error instanceof P2pError ? mistakeIn(job, index, error) : error;
      }
    }),
  );
}

function mistakeIn(job: BenchJob, index: number, error: P2pError): P2pError {
  const { message, hint, excerpt } = error;
  const shown = {
    ...(hint === undefined ? {} : { hint }),
    ...(excerpt === undefined ? {} : { excerpt }),
  };
  const mistake = job.mistake("expect", message, shown, index);
  return mistake.code === "BAD_ARGUMENT"
    ? new P2pError("BAD_EXPRESSION", mistake.message, shown)
    : mistake;
}

/** The devices that jobs name, which choose the machine: see choosePlatform(). */
export function namedDevices(read: Pick<ReadJobs, "jobs">): Bdf[] {
  const endpoints = read.jobs
    .flatMap(({ src, dst }) => [...src.flat(), ...dst])
    .filter((text) => !isWildcard(text) && !isKernelEndpoint(text))
    .map((text) => parseEndpoint(text).device);
  const providers = read.jobs
    .flatMap(({ provider }) => provider)
    .filter((text) => text !== "closest" && text !== "all")
    .map((text) => parseProvider(text).device);
  return [...new Set([...endpoints, ...providers])];
}

/** Whether the kernel's driver does all of it. */
export function isKernelOnly({ jobs }: Pick<ReadJobs, "jobs">): boolean {
  return jobs.every(({ path }) => path.every(isKernelPath));
}

/** Where nobody chose the machine of jobs that only the kernel's driver runs, no loopback machine is made. */
export function platformOf(
  read: Pick<ReadJobs, "jobs">,
  { platform = "auto", machine }: Pick<SessionOptions, "platform" | "machine">,
): Pick<SessionOptions, "platform"> {
  return { platform: platform === "auto" && !machine && isKernelOnly(read) ? "vfio" : platform };
}
