import type { BenchReport, BenchResult, ExpectationResult } from "../bench/report.js";
import { dataTable, type Column } from "./data-table.js";
import { distinct } from "./groups.js";
import { html, type Markup } from "./markup.js";
import { count, time, UNKNOWN } from "./quantities.js";
import { pairWords, pointWords } from "./words.js";

/** What makes the figures doubtful: of the run, then of single results. */
export function warningSection({ warnings, results }: BenchReport): Markup | null {
  const own = results.flatMap((result) =>
    result.warnings.map((text) => `${resultWords(result)}: ${text}`),
  );
  // What holds for the run may have been noticed at a result.
  const all = distinct([...warnings, ...own]);
  return all.length === 0
    ? null
    : html`<section class="card warnings" aria-labelledby="warnings">
        <h2 id="warnings">Warnings</h2>
        <ul>
          ${all.map((text) => html`<li>${text}</li>`)}
        </ul>
      </section>`;
}

/** What did not run, or not to its end, and why; null where nothing failed. */
export function failureSection({ results }: BenchReport): Markup | null {
  const failed = results.filter((result) => result.failed !== null);
  return failed.length === 0
    ? null
    : html`<section aria-labelledby="failed">
        <h2 id="failed">Failed</h2>
        ${dataTable("Results that failed", FAILURES, failed)}
      </section>`;
}

/** Null where nothing was expected. */
export function expectationSection({ expectations }: BenchReport): Markup | null {
  if (expectations.length === 0) return null;
  const failed = expectations.filter(({ outcome }) => outcome !== "pass").length;
  return html`<section aria-labelledby="expectations">
    <h2 id="expectations">Expectations</h2>
    <p>
      ${failed === 0 ? "All of them hold." : `${failed} of ${expectations.length} do not hold.`}
    </p>
    ${dataTable("Expectations", EXPECTATIONS, expectations)}
  </section>`;
}

/** Null where nothing was verified. */
export function verificationSection({ results }: BenchReport): Markup | null {
  const verified = results.filter(({ verify }) => verify !== null);
  if (verified.length === 0) return null;
  const bad = verified.filter(({ verify }) => verify!.mismatches > 0).length;
  return html`<section aria-labelledby="verification">
    <h2 id="verification">Verification</h2>
    <p>
      ${
        verified.every(({ verify }) => verify!.blocks === 0)
          ? "There was no block to be looked at."
          : bad === 0
            ? "Every block that was looked at is what it should be."
            : `In ${bad} of ${verified.length} results blocks are not what they should be.`
      }
    </p>
    ${dataTable("Verified results", VERIFICATIONS, verified)}
  </section>`;
}

const FAILURES: Column<BenchResult>[] = [
  { title: "result", align: "left", value: resultWords },
  { title: "error", align: "left", value: ({ failed }) => html`<code>${failed!.code}</code>` },
  { title: "why", align: "left", value: ({ failed }) => failed!.message },
  { title: "what to do", align: "left", value: ({ failed }) => failed!.hint ?? "—" },
];

const EXPECTATIONS: Column<ExpectationResult>[] = [
  {
    title: "expectation",
    align: "left",
    value: ({ expression }) => html`<code>${expression}</code>`,
  },
  { title: "job", align: "left", value: ({ job }) => job },
  { title: "at", align: "left", value: ({ point }) => point },
  { title: "outcome", align: "left", value: ({ outcome }) => badge(outcome, outcome === "pass") },
  { title: "detail", align: "left", value: ({ detail }) => detail },
];

const VERIFICATIONS: Column<BenchResult>[] = [
  { title: "result", align: "left", value: resultWords },
  { title: "mode", align: "left", value: ({ verify }) => verify!.mode },
  { title: "blocks", align: "right", value: ({ verify }) => count(verify!.blocks) },
  {
    title: "mismatches",
    align: "right",
    value: ({ verify }) =>
      verify!.blocks === 0 ? UNKNOWN : badge(count(verify!.mismatches), verify!.mismatches === 0),
  },
  { title: "took", align: "right", value: ({ verify }) => time(verify!.runtime_ns) },
  {
    title: "first mismatch",
    align: "left",
    value: ({ verify }) => verify!.first ?? (verify!.mismatches === 0 ? "—" : UNKNOWN),
  },
];

function resultWords(result: BenchResult): string {
  return `${result.job}: ${result.path}, ${pairWords(result)}, ${pointWords(result)}`;
}

function badge(text: string, isGood: boolean): Markup {
  return html`<span class="badge ${isGood ? "good" : "bad"}">${text}</span>`;
}
