import { CommanderError } from "commander";
import { P2pError } from "../errors.js";

/** What the command's exit code says. */
export const EXIT = { ok: 0, error: 1, usage: 2, mismatch: 3, interrupted: 130 } as const;

const EXIT_OF: Record<string, number> = {
  INTERRUPTED: EXIT.interrupted,
  DATA_MISMATCH: EXIT.mismatch,
};

const HELP = "see p2pmem --help";

/**
 * The one line that a failure prints, with an excerpt of what was typed below it where there is one, and
 * the exit code; no line where there is help instead.
 */
export interface Failure {
  line: string | null;
  exitCode: number;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof CommanderError) return describeUsage(error);
  if (error instanceof P2pError)
    return {
      line:
        format(error.code, error.message, error.hint ?? (error.isUsage ? HELP : undefined)) +
        (error.excerpt === undefined ? "" : `\n${error.excerpt.replaceAll(/^/gm, "  ")}`),
      exitCode: EXIT_OF[error.code] ?? (error.isUsage ? EXIT.usage : EXIT.error),
    };
  const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { line: format("INTERNAL", reason, "this is a bug in p2pmem"), exitCode: EXIT.error };
}

function describeUsage({ code, exitCode, message }: CommanderError): Failure {
  // Help and version are "errors" of commander's, with 0.
  if (exitCode === 0) return { line: null, exitCode: EXIT.ok };
  // Without a command it has written the help to standard error.
  if (code === "commander.help") return { line: null, exitCode: EXIT.usage };
  const text = message.replace(/^error: |\.$/g, "");
  return { line: format("BAD_ARGUMENT", text, HELP), exitCode: EXIT.usage };
}

function format(code: string, message: string, hint?: string): string {
  const text = hint === undefined ? message : `${message}; hint: ${hint}`;
  return `p2pmem: ${code}: ${text.replaceAll(/\s*\n\s*/g, " ")}`;
}
