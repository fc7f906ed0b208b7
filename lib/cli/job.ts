import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { Session, type SessionOptions } from "../session.js";
import { OutputFile } from "./output-file.js";
import type { GlobalOptions } from "./options.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a command works with. */
export interface Job {
  session: Session;
  output: OutputFile;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** All that was asked for is done, and is to be reported: Ctrl-C that came or comes changes nothing. */
  complete(): void;
}

/**
 * Runs `work` with a session on the machine that the options and the named devices choose. Whatever
 * happens, the session is closed before this ends, so that no device does DMA when the process goes.
 */
export async function runJob<T>(
  options: Omit<GlobalOptions, "outputFormat"> & Pick<SessionOptions, "looksOnly" | "descriptors">,
  devices: readonly Bdf[],
  work: (job: Job) => Promise<T>,
): Promise<T> {
  const output = new OutputFile(options.output);
  const abort = new AbortController();
  const state = { isComplete: false };
  const complete = (): void => {
    state.isComplete = true;
  };
  const interrupt = (): void => {
    abort.abort(new P2pError("INTERRUPTED", "interrupted; nothing is in flight any more"));
    // A second Ctrl-C ends the process at once; the kernel then takes the devices back.
    for (const name of SIGNALS) process.removeListener(name, interrupt);
  };
  for (const name of SIGNALS) process.on(name, interrupt);
  try {
    const session = await Session.open({
      platform: options.platform,
      devices,
      looksOnly: options.looksOnly ?? false,
      descriptors: options.descriptors,
      ...(options.machine === undefined ? {} : { machine: options.machine }),
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    });
    let result: T;
    try {
      result = await work({ session, output, signal: abort.signal, complete });
    } finally {
      await session.close();
    }
    if (!state.isComplete) abort.signal.throwIfAborted();
    output.finish();
    return result;
  } finally {
    output.discard();
    for (const name of SIGNALS) process.removeListener(name, interrupt);
  }
}
