import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { BenchReport } from "../bench/report.js";
import { shellWord } from "../shell-word.js";
import {
  expectationSection,
  failureSection,
  verificationSection,
  warningSection,
} from "./checks.js";
import { groupsOf } from "./groups.js";
import { jobSection } from "./job-section.js";
import { machineSection } from "./machine.js";
import { html, jsonData, verbatim, type Markup } from "./markup.js";
import { plotDataOf } from "./plot-data.js";
import { verdict } from "./verdict.js";

/**
 * A report as one page that needs nothing else: styles, scripts and data are in it, and its policy lets
 * it run those and load nothing.
 */
export function renderHtml(report: BenchReport): string {
  const groups = groupsOf(report.results);
  const style = [
    moduleFile("uplot/dist/uPlot.min.css"),
    ownFile("figures.css"),
    ownFile("page.css"),
  ].join("\n");
  const scripts = [
    moduleFile("uplot/dist/uPlot.iife.min.js"),
    ownFile("charts.js"),
    ownFile("page.js"),
  ];
  const policy = [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${scripts.map(hashOf).join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  // As they were hashed: not a blank more.
  const styleElement = verbatim(`<style>${style}</style>`);
  const scriptElements = scripts.map((script) => verbatim(`<script>${script}</script>`));
  const license = verbatim(`<!-- uPlot, which is below: ${moduleFile("uplot/LICENSE")}-->`);
  const page = html`<html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta http-equiv="Content-Security-Policy" content="${verbatim(policy)}" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <meta name="generator" content="p2pmem ${report.version}" />
      <title>p2pmem bench: ${report.machine.hostname}, ${report.started}</title>
      ${styleElement}
    </head>
    <body>
      <main>
        ${heading(report)} ${verdict(report)} ${warningSection(report)}
        ${groups.map((group, index) => jobSection(group, index, report.machine))}
        ${failureSection(report)} ${expectationSection(report)} ${verificationSection(report)}
        ${machineSection(report)} ${repeat(report)}
      </main>
      <script type="application/json" id="plots">
        ${jsonData(groups.map(plotDataOf))}
      </script>
      ${license} ${scriptElements}
    </body>
  </html>`;
  return `<!doctype html>\n${page.toString()}\n`;
}

function heading({ machine, platform, started, version }: BenchReport): Markup {
  const where = { loopback: "the loopback machine", vfio: "VFIO", kernel: "the kernel's driver" }[
    platform
  ];
  return html`<header>
    <div>
      <h1>Peer-to-peer benchmark</h1>
      <p class="muted">
        ${machine.hostname}, ${where},
        <time datetime="${started}">${started.replace(/^(.{10})T(.{5}).*Z$/, "$1 $2 UTC")}</time>,
        p2pmem ${version}
      </p>
    </div>
    <button type="button" id="theme" hidden>Dark</button>
  </header>`;
}

function repeat({ command, results }: BenchReport): Markup {
  const seeds = [...new Set(results.map(({ randseed }) => randseed))].join(", ");
  return html`<section aria-labelledby="repeat">
    <h2 id="repeat">To repeat it</h2>
    <pre class="card" tabindex="0"><code>${command.map(shellWord).join(" ")}</code></pre>
    ${seeds === "" ? null : html`<p class="muted">Random places: <code>--randseed ${seeds}</code>.</p>`}
  </section>`;
}

function ownFile(name: string): string {
  return readFileSync(new URL(`../../assets/report/${name}`, import.meta.url), "utf8");
}

function moduleFile(name: string): string {
  return readFileSync(fileURLToPath(import.meta.resolve(name)), "utf8");
}

/** Of what is between the tags, byte for byte (Content Security Policy Level 3 §2.3.1). */
function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
