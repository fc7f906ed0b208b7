// Writes the JSON Schemas that the package publishes; a test fails where one is out of date.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import prettier from "prettier";
import { jobSchema } from "../dist/bench/job/json-schema.js";
import { reportJsonSchema } from "../dist/bench/report-schema.js";

const directory = join(dirname(import.meta.dirname), "schema");
const schemas = { "bench-report.schema.json": reportJsonSchema, "job.schema.json": jobSchema };

mkdirSync(directory, { recursive: true });
for (const [name, schema] of Object.entries(schemas)) {
  const filepath = join(directory, name);
  const options = await prettier.resolveConfig(filepath);
  writeFileSync(
    filepath,
    await prettier.format(JSON.stringify(schema()), { ...options, filepath }),
  );
}
