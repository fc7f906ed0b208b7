// npm run bench:core: what the parts under the driver cost, without a device. A section is a file in
// bench-core/ with a title and a function run() that returns its figures: { ns, target, ratio } by
// name, of which only ns must be. With names of sections as arguments, only those. A missed target
// is shown, and is no failure: how fast a machine is decides about it, too.
import * as iova from "./bench-core/iova.mjs";
import * as map from "./bench-core/map.mjs";
import * as matrix from "./bench-core/matrix.mjs";
import * as pool from "./bench-core/pool.mjs";

const SECTIONS = { pool, iova, map, matrix };

const words = process.argv.slice(2);
const json = words.includes("--json");
const named = words.filter((word) => word !== "--json");
const unknown = named.find((name) => !(name in SECTIONS));
if (unknown !== undefined) {
  console.error(`"${unknown}" is not one of: --json, ${Object.keys(SECTIONS).join(", ")}`);
  process.exit(2);
}

function show(title, figures) {
  console.log(`\n${title}`);
  console.log(`${"".padEnd(24)}${"ns".padStart(10)}${"target".padStart(10)}${"ratio".padStart(8)}`);
  for (const [name, { ns, target, ratio }] of Object.entries(figures)) {
    const cells = [ns.toFixed(1).padStart(10), String(target ?? "").padStart(10)];
    const verdict = target !== undefined && ns > target ? "  missed" : "";
    console.log(name.padEnd(24) + cells.join("") + (ratio?.toFixed(2) ?? "").padStart(8) + verdict);
  }
}

const results = { node: process.versions.node };
if (!json) console.log(`Node ${results.node}, medians`);
for (const name of named.length > 0 ? named : Object.keys(SECTIONS)) {
  const { title, run } = SECTIONS[name];
  results[name] = await run();
  if (!json) show(title, results[name]);
}
if (json) console.log(JSON.stringify(results));
