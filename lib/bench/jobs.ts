import { P2pError } from "../errors.js";
import { parseEndpoint } from "../io/endpoint.js";
import { parseProvider } from "../p2pmem/provider-name.js";
import type { Bdf } from "../pci/bdf.js";
import { parseExpectation, type Expectation } from "./expect/parser.js";
import { isKernelEndpoint, isWildcard } from "./job/endpoints.js";
import type { BenchJob } from "./job/job.js";

/** Jobs, and what each expects of its results. */
export interface ReadJobs {
  jobs: readonly BenchJob[];
  expectations: readonly { job: string; expression: Expectation }[];
}

/** Errors: BAD_EXPRESSION, or BAD_JOB_FILE with file and line, and what the mistake is. */
export function readExpectations(jobs: readonly BenchJob[]): ReadJobs["expectations"] {
  return jobs.flatMap((job) =>
    job.expect.map((text) => {
      try {
        return { job: job.name, expression: parseExpectation(text) };
      } catch (error) {
        if (!(error instanceof P2pError)) throw error;
        const { hint } = error;
        throw job.mistake("expect", error.message, hint === undefined ? {} : { hint });
      }
    }),
  );
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
