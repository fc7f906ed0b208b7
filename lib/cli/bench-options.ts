/** The options of `p2pmem bench` that are parameters of its jobs, from the table of those. */
import { Option, type Command } from "commander";
import { plainValue } from "../bench/job/kinds.js";
import { PARAMETER_NAMES, PARAMETERS } from "../bench/job/parameters.js";
import type { JobParameters, ParameterName } from "../bench/job/parameters.js";
import { P2pError } from "../errors.js";
import { valueOption } from "./options.js";

/** Of `--verify` without a value: it does not cost the source its data, as the other modes do. */
const DEFAULT_VERIFY = "memcmp";

/** Adds an option for each parameter: `--ramp-time`, and fio's spelling `--ramp_time`, which is not shown. */
export function addJobOptions(command: Command): void {
  for (const { option } of jobOptions()) command.addOption(option);
}

/**
 * The parameters that the command's options give, as loadJobs() takes them. Errors: BAD_ARGUMENT, where
 * one is given by two spellings.
 */
export function overridesOf(options: Readonly<Record<string, unknown>>): JobParameters {
  const overrides = new Map<ParameterName, unknown>();
  for (const { name, option } of jobOptions()) {
    const value = options[option.attributeName()];
    // An option and its --no- form have one attribute.
    if (value === undefined || overrides.get(name) === value) continue;
    if (overrides.has(name))
      throw new P2pError("BAD_ARGUMENT", `--${name} is given twice, by different names`);
    overrides.set(name, value);
  }
  return Object.fromEntries(overrides);
}

function jobOptions(): { name: ParameterName; option: Option }[] {
  return PARAMETER_NAMES.flatMap((name) => {
    const dashed = name.replaceAll("_", "-");
    const others = [name, ...PARAMETERS[name].aliases].filter((spelling) => spelling !== dashed);
    const shown = optionsOf(name, dashed);
    const hidden = others.flatMap((spelling) => optionsOf(name, spelling));
    return [
      ...shown.slice(0, 1),
      ...[...shown.slice(1), ...hidden].map((option) => option.hideHelp()),
    ].map((option) => ({ name, option }));
  });
}

/** The option of this spelling, and what turns it off if it is a flag. */
function optionsOf(name: ParameterName, spelling: string): Option[] {
  const { kind, about } = PARAMETERS[name];
  if (kind.form === "flag")
    return [new Option(`--${spelling}`, about), new Option(`--no-${spelling}`, about)];
  if (name === "verify") {
    const option = valueOption(`--${spelling} [${kind.form}]`, about, parseVerify);
    return [option.preset(DEFAULT_VERIFY)];
  }
  if (name === "expect") return [repeated(`--${spelling} <${kind.form}>`, about)];
  const form = PARAMETERS[name].sweep === "none" ? kind.form : `${kind.form},...`;
  return [valueOption(`--${spelling} <${form}>`, about, (text) => parse(name, text))];
}

/** Its value may be left out: what comes next may be another thing. */
function parseVerify(text: string): unknown {
  try {
    return parse("verify", text);
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    const hint = `${error.hint ?? ""}; write --verify=${DEFAULT_VERIFY} before the name of a job`;
    throw new P2pError(error.code, error.message, { hint });
  }
}

/** As in a job file: a list where there are commas. Errors: those of the parameter's kind. */
function parse(name: ParameterName, text: string): unknown {
  const { kind, sweep } = PARAMETERS[name];
  if (sweep === "none") {
    const value = plainValue(text);
    kind.parse(value);
    return value;
  }
  if (/^[\s,]*$/.test(text))
    throw new P2pError("BAD_ARGUMENT", "an empty list measures nothing", {
      hint: `give a ${kind.form} at least, or leave --${name.replaceAll("_", "-")} out`,
    });
  const values = text.split(",").map(plainValue);
  for (const value of values) kind.parse(value);
  return values.length === 1 ? values[0] : values;
}

/** Expressions may have commas: each is an option of its own. */
function repeated(flags: string, description: string): Option {
  const texts: string[] = [];
  return valueOption(flags, `${description}; may be repeated`, (text) => {
    PARAMETERS.expect.kind.parse(text);
    texts.push(text);
    return [...texts];
  });
}
