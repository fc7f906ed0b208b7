/**
 * Entry of a reactor's thread: takes one job at a time, runs it to its end, and answers with its
 * outcome. It knows no kind of job: a job names the module that runs it.
 */
import { parentPort } from "node:worker_threads";
import { P2pError } from "../errors.js";
import type { JobRunner } from "./reactor.js";

/** What the thread is sent. */
export interface ReactorRequest {
  /** URL of a module that exports `run`, a {@link JobRunner}. */
  runner: string;
  job: unknown;
}

/** An outcome, or an error whose class would not survive the way through postMessage. */
export type ReactorAnswer =
  | { outcome: unknown }
  | { error: { code: string; message: string; hint?: string; stack?: string } };

async function run({ runner, job }: ReactorRequest): Promise<ReactorAnswer> {
  const module = (await import(runner)) as { run: JobRunner<unknown, unknown> };
  return { outcome: module.run(job) };
}

function describe(error: unknown): ReactorAnswer {
  if (!(error instanceof Error)) return { error: { code: "INTERNAL", message: String(error) } };
  return {
    error: {
      code: error instanceof P2pError ? error.code : "INTERNAL",
      message: error.message,
      ...(error instanceof P2pError && error.hint !== undefined ? { hint: error.hint } : {}),
      ...(error.stack === undefined ? {} : { stack: error.stack }),
    },
  };
}

parentPort!.on("message", (request: ReactorRequest) => {
  void run(request)
    .catch(describe)
    .then((answer) => {
      parentPort!.postMessage(answer);
    });
});
