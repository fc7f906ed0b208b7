import { P2pError, type P2pErrorDetails } from "../../errors.js";
import { nearest } from "../../nearest.js";
import type { Field } from "../../yaml/field.js";
import {
  PARAMETERS,
  parameterOf,
  parameterSpellings,
  type ParameterName,
  type Parsed,
} from "./parameters.js";

/** An error that shows where the mistake is: `what` is wrong with a field of this section. */
export type MistakeAt = (field: Field, what: string, details?: P2pErrorDetails) => P2pError;

/** One parameter of a job: its values, and how to say what is wrong with it. */
interface Setting {
  values: readonly unknown[];
  /** It is said for several jobs, so it need not make sense in each. */
  isShared: boolean;
  /** Nobody wrote it: a built-in job has it. */
  isImplied: boolean;
  /** `item`: where it is a list, the index of what is wrong in it. */
  mistake(what: string, details?: P2pErrorDetails, item?: number): P2pError;
}

/** What is said of a job, by whoever; later layers win. */
export class Settings {
  readonly #settings: ReadonlyMap<ParameterName, Setting>;
  readonly #fallback: MistakeAt;

  private constructor(settings: ReadonlyMap<ParameterName, Setting>, fallback: MistakeAt) {
    this.#settings = settings;
    this.#fallback = fallback;
  }

  /** Reads a mapping of parameters, or null. Errors: those that `mistakeAt` makes. */
  static read(section: unknown, mistakeAt: MistakeAt): Settings {
    const settings = new Map<ParameterName, Setting>();
    if (section === null) return new Settings(settings, mistakeAt);
    if (typeof section !== "object" || Array.isArray(section))
      throw mistakeAt([], "must be a mapping of parameters, such as { bs: 4k }");
    for (const [key, value] of Object.entries(section)) {
      const name = parameterOf(key);
      if (name === undefined) throw unknownKey(key, mistakeAt);
      if (settings.has(name))
        throw mistakeAt([key], key === name ? "is said twice" : `is said twice, also as ${name}`);
      settings.set(name, {
        values: readValues(name, value, [key], mistakeAt),
        isShared: false,
        isImplied: false,
        mistake: (what, details, item) => {
          const isItem = item !== undefined && Array.isArray(value);
          return mistakeAt(isItem ? [key, item] : [key], what, details);
        },
      });
    }
    return new Settings(settings, mistakeAt);
  }

  /** The same, said for several jobs. */
  shared(): Settings {
    return this.#marked({ isShared: true });
  }

  /** The same, of a built-in job. */
  implied(): Settings {
    return this.#marked({ isImplied: true });
  }

  #marked(mark: Partial<Setting>): Settings {
    const settings = [...this.#settings].map(
      ([name, setting]) => [name, { ...setting, ...mark }] as const,
    );
    return new Settings(new Map(settings), this.#fallback);
  }

  /** These, and over them what `later` says. */
  with(later: Settings): Settings {
    return new Settings(new Map([...this.#settings, ...later.#settings]), this.#fallback);
  }

  /** These, over what `earlier` says. */
  over(earlier: Settings): Settings {
    return new Settings(new Map([...earlier.#settings, ...this.#settings]), this.#fallback);
  }

  /** These without some of them. */
  without(...names: ParameterName[]): Settings {
    const left = [...this.#settings].filter(([name]) => !names.includes(name));
    return new Settings(new Map(left), this.#fallback);
  }

  /** These, with other values of a parameter that is there. */
  replace<N extends ParameterName>(name: N, values: readonly Parsed<N>[]): Settings {
    const setting = this.#settings.get(name);
    if (setting === undefined) return this;
    const settings = new Map(this.#settings).set(name, { ...setting, values });
    return new Settings(settings, this.#fallback);
  }

  /** The values of a sweep, each once; undefined where nothing is said. */
  values<N extends ParameterName>(name: N): readonly Parsed<N>[] | undefined {
    return this.#settings.get(name)?.values as readonly Parsed<N>[] | undefined;
  }

  /** The value of what is not swept, or no more. */
  value<N extends ParameterName>(name: N): Parsed<N> | undefined {
    return this.values(name)?.[0];
  }

  /** Somebody wrote it. */
  says(name: ParameterName): boolean {
    return this.#settings.get(name)?.isImplied === false;
  }

  /** It is said, and for this job. */
  isOwn(name: ParameterName): boolean {
    return this.#settings.get(name)?.isShared === false;
  }

  /** Where the parameter, or the item of its list, is said, else where the job is. */
  mistake(name: ParameterName, what: string, details?: P2pErrorDetails, item?: number): P2pError {
    const setting = this.#settings.get(name);
    return setting?.mistake(what, details, item) ?? this.#fallback([name], what, details);
  }
}

function unknownKey(key: string, mistakeAt: MistakeAt): P2pError {
  const spellings = [...parameterSpellings()];
  const near = nearest(key.replaceAll("-", "_"), spellings);
  const meant = near === undefined ? "" : `; did you mean ${near}?`;
  return mistakeAt([key], `there is no such parameter${meant}`, {
    hint: `there are ${Object.keys(PARAMETERS).join(", ")}`,
  });
}

function readValues(
  name: ParameterName,
  value: unknown,
  field: Field,
  mistakeAt: MistakeAt,
): unknown[] {
  const { kind, sweep } = PARAMETERS[name];
  if (sweep === "none" || !Array.isArray(value)) return [readValue(name, value, field, mistakeAt)];
  if (value.length === 0)
    throw mistakeAt(field, "an empty list measures nothing", {
      hint: `give a ${kind.form} at least, or leave ${name} out`,
    });
  const values = (value as unknown[]).map((item, index) =>
    readValue(name, item, [...field, index], mistakeAt),
  );
  return unique(values);
}

function readValue(
  name: ParameterName,
  value: unknown,
  field: Field,
  mistakeAt: MistakeAt,
): unknown {
  try {
    return PARAMETERS[name].kind.parse(value);
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    const isComma = typeof value === "string" && value.includes(",");
    const hint =
      isComma && PARAMETERS[name].sweep !== "none"
        ? `a sweep is a list: [${value.split(",").join(", ")}]`
        : error.hint;
    throw mistakeAt(field, error.message, hint === undefined ? {} : { hint });
  }
}

/** Each value once, in the order of the list. */
export function unique<T>(values: readonly T[]): T[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}
