/**
 * Whether to colour what goes there: to a terminal, unless NO_COLOR (no-color.org) or a dumb one
 * forbids it; elsewhere only where FORCE_COLOR demands it. A variable that is empty says nothing.
 */
export function wantsColors(isTerminal: boolean, env: NodeJS.ProcessEnv = process.env): boolean {
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  const force = env["FORCE_COLOR"] ?? "";
  if (force !== "") return force !== "0" && force !== "false";
  return isTerminal && env["TERM"] !== "dumb";
}
