import { P2pError } from "../errors.js";
import { OutputFile } from "./output-file.js";
import type { GlobalOptions } from "./options.js";

/**
 * For commands about this machine itself, of which there is no loopback. Errors: BAD_ARGUMENT.
 */
export function requireRealMachine(command: string, options: GlobalOptions): void {
  if (options.platform !== "loopback" && options.machine === undefined) return;
  throw new P2pError("BAD_ARGUMENT", `${command} is about this machine, not a loopback machine`, {
    hint: "leave out --platform and --machine",
  });
}

/** Runs `work`, and writes what it returns: to a file, only once it is complete. */
export function writeOutput(options: GlobalOptions, work: () => string): void {
  const output = new OutputFile(options.output);
  try {
    output.write(work());
    output.finish();
  } finally {
    output.discard();
  }
}
