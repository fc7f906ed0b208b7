/** Job files for tests. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchJob } from "#lib/bench/job/job.js";
import { loadJobs, type LoadOptions } from "#lib/bench/job/load.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { P2pError } from "#lib/errors.js";

/** A directory for the tests of one file; remove() when they are done. */
export class JobFiles {
  readonly directory = mkdtempSync(join(tmpdir(), "p2pmem-jobs-"));

  write(text: string, name = "job.yaml"): string {
    const file = join(this.directory, name);
    writeFileSync(file, text);
    return file;
  }

  load(text: string, overrides?: JobParameters, options?: LoadOptions): Promise<BenchJob[]> {
    return loadJobs([this.write(text)], overrides, options);
  }

  /** The error that the file gives, its directory left out: `job.yaml:2: a.bs: …`. */
  async mistake(text: string, overrides?: JobParameters): Promise<P2pError> {
    const error = await this.load(text, overrides).then(
      () => assert.fail(`this is taken:\n${text}`),
      (error: unknown) => error as P2pError,
    );
    assert.ok(!error.message.includes("\n"));
    assert.ok(error.hint !== undefined, `${error.message} has a hint`);
    error.message = error.message.replaceAll(`${this.directory}/`, "");
    return error;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}
