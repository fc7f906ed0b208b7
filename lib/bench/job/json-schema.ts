/** The JSON Schema (2020-12) of job files, from the table of parameters. */
import { PARAMETER_NAMES, PARAMETERS, type ParameterName } from "./parameters.js";
import type { Schema } from "./kinds.js";

/** What editors and other tools check a job file with: all but what parameters mean to each other. */
export function jobSchema(): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "A job file of p2pmem bench",
    type: "object",
    properties: {
      global: { $ref: "#/$defs/parameters", description: "Parameters of all jobs of this file" },
    },
    additionalProperties: { $ref: "#/$defs/parameters", description: "A job" },
    // A job at least, beside `global`.
    minProperties: 1,
    if: { required: ["global"] },
    then: { minProperties: 2 },
    $defs: {
      parameters: {
        type: ["object", "null"],
        properties: Object.fromEntries(
          PARAMETER_NAMES.map((name) => [name, { $ref: `#/$defs/${name}` }]),
        ),
        // `_` and `-` are alike, and some parameters have other names as well.
        patternProperties: Object.fromEntries(
          PARAMETER_NAMES.flatMap((name) =>
            spellingsOf(name).map((pattern) => [pattern, { $ref: `#/$defs/${name}` }]),
          ),
        ),
        additionalProperties: false,
      },
      ...Object.fromEntries(PARAMETER_NAMES.map((name) => [name, parameterSchema(name)])),
    },
  };
}

/** Patterns of all but the name itself. */
function spellingsOf(name: ParameterName): string[] {
  return [
    ...(name.includes("_") ? [`^(?!${name}$)${name.replaceAll("_", "[_-]")}$`] : []),
    ...PARAMETERS[name].aliases.map((alias) => `^${alias}$`),
  ];
}

function parameterSchema(name: ParameterName): Schema {
  const { kind, sweep, about } = PARAMETERS[name];
  if (sweep === "none") return { description: about, ...kind.schema };
  const list = { type: "array", minItems: 1, items: kind.schema };
  return { description: about, anyOf: [kind.schema, list] };
}
