import assert from "node:assert/strict";
import type { Browser } from "playwright-core";
import type { BenchReport } from "#lib/bench/report.js";
import { renderHtml } from "#lib/report/html.js";
import { benchReport, benchResult } from "../support/bench-report.js";
import { coloursOfPlots, openPage, screenshot, startBrowser } from "../support/browser.js";
import { hostileReport } from "../support/hostile-report.js";
import { pathsReport } from "../support/paths-report.js";

const REPORTS: Record<string, () => BenchReport> = {
  paths: pathsReport,
  jobs: benchReport,
  hostile: hostileReport,
  quick: () => ({ ...pathsReport(), results: pathsReport(["p2p", "host"]).results.slice(0, 2) }),
  none: () => ({ ...benchReport(), results: [], warnings: [], expectations: [] }),
};

const VIEWS = [
  { width: 1280, theme: "light" },
  { width: 400, theme: "dark" },
] as const;

describe("a report in a browser", () => {
  let browser: Browser;

  before(async () => {
    browser = await startBrowser();
  });

  after(async () => {
    await browser.close();
  });

  for (const [name, report] of Object.entries(REPORTS))
    for (const { width, theme } of VIEWS)
      it(`${name}: is whole at ${width} pixels, ${theme}, and asks for nothing`, async () => {
        const html = renderHtml(report());
        const { page, requests, complaints } = await openPage(browser, name, html, {
          width,
          theme,
        });
        assert.equal(await page.evaluate("document.documentElement.scrollWidth"), width);
        const places = await page.locator(".plot .canvas").count();
        const unknown = await page.locator(".plot .canvas", { hasText: /^unknown$/ }).count();
        const colours = await coloursOfPlots(page);
        assert.equal(colours.length + unknown, places);
        // The grid and the words are one each; the series are the others.
        for (const count of colours) assert.ok(count >= 3, `${count} colours`);
        await screenshot(page, `${name}-${width}-${theme}`);
        await page.close();
        assert.deepEqual(requests, []);
        assert.deepEqual(complaints, []);
      });

  it("draws as many plots as its jobs have axes", async () => {
    const { page } = await openPage(browser, "paths", renderHtml(pathsReport()));
    assert.deepEqual(await page.locator(".plot figcaption").allTextContents().then(words), [
      "Bandwidth against block size at I/O depth 32",
      "IOPS against block size at I/O depth 32",
      "Bandwidth against I/O depth at block size 1m",
      "IOPS against I/O depth at block size 1m",
      "Latency percentiles at block size 1m, I/O depth 32",
      "Each sample against its median, over the run’s time",
    ]);
    await page.close();
  });

  it("shows what is chosen, in plots, bars and captions", async () => {
    const { page } = await openPage(browser, "paths", renderHtml(pathsReport()));
    const picture = (): Promise<string> =>
      page.evaluate(`document.querySelector("[data-against=bs] canvas").toDataURL()`);
    const before = await picture();
    await page.selectOption("select[data-axis=iodepth]", { label: "1" });
    assert.notEqual(await picture(), before);
    const costs = page.locator("figure.card", { hasText: "What it costs" });
    assert.deepEqual(words(await costs.locator("figcaption").allTextContents()), [
      "What it costs at block size 1m, I/O depth 1",
    ]);
    assert.equal(await costs.locator("[data-at]:visible").count(), 1);
    assert.equal(await costs.locator("[data-at]:visible").getAttribute("data-at"), "3,0");
    await page.close();
  });

  it("shows that a combination was not measured", async () => {
    const results = [benchResult({ bs: 4096, iodepth: 1 }), benchResult({ bs: 65536, iodepth: 8 })];
    const html = renderHtml({ ...benchReport(), results });
    const { page } = await openPage(browser, "gaps", html);
    const none = page.getByText("Not measured at this combination.");
    assert.equal(await none.isVisible(), false);
    await page.selectOption("select[data-axis=bs]", { label: "4k" });
    await page.selectOption("select[data-axis=iodepth]", { label: "8" });
    assert.equal(await none.isVisible(), true);
    assert.equal(await page.locator('.plot[data-kind="lat"] .canvas').textContent(), "unknown");
    await page.close();
  });

  it("has a button for the theme, which redraws the plots", async () => {
    const { page } = await openPage(browser, "paths", renderHtml(pathsReport()), { theme: "dark" });
    const look = (): Promise<string> =>
      page.evaluate(
        `getComputedStyle(document.body).backgroundColor + document.querySelector("canvas").toDataURL()`,
      );
    const dark = await look();
    await page.getByRole("button", { name: "Light theme" }).click();
    const light = await look();
    assert.notEqual(light.slice(0, 20), dark.slice(0, 20));
    assert.notEqual(light.slice(-2000), dark.slice(-2000));
    await page.getByRole("button", { name: "Dark theme" }).click();
    assert.equal(await look(), dark);
    await page.close();
  });

  it("shows the values under the pointer", async () => {
    const { page } = await openPage(browser, "paths", renderHtml(pathsReport(["p2p", "host"])));
    const plot = page.locator('.plot[data-kind="bw"][data-against="bs"]');
    await plot.locator(".u-over").hover({ position: { x: 20, y: 50 } });
    assert.match(
      (await plot.locator(".tip").textContent()) ?? "",
      /^4k\np2p: [\d.]+ GB\/s \([\d.]+ GB\/s – [\d.]+ GB\/s\)\nhost: /,
    );
    await page.close();
  });

  it("draws again for another width, and dark on white for paper", async () => {
    const { page } = await openPage(browser, "paths", renderHtml(pathsReport()), { theme: "dark" });
    const plot = page.locator(".plot canvas").first();
    const wide = (await plot.boundingBox())!.width;
    await page.setViewportSize({ width: 400, height: 900 });
    await page.evaluate(`new Promise((done) => {
      const canvas = () => document.querySelector(".plot canvas");
      const look = () => (canvas().clientWidth < ${wide - 1} ? done() : requestAnimationFrame(look));
      look();
    })`);
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 400);
    await page.evaluate(`dispatchEvent(new Event("beforeprint"))`);
    await page.emulateMedia({ media: "print" });
    assert.equal(await page.evaluate("getComputedStyle(document.body).color"), "rgb(27, 31, 36)");
    await page.close();
  });

  it("says what was drawn to who does not see it", async () => {
    const { page } = await openPage(browser, "jobs", renderHtml(benchReport()));
    // Every picture has a name, every table a caption, and no heading leaves a level out.
    const nameless = 'svg:not([aria-hidden]):not([aria-label]), [role="img"]:not([aria-label])';
    assert.equal(await page.locator(nameless).count(), 0);
    assert.equal(await page.locator("table:not(:has(caption))").count(), 0);
    const levels = await page.evaluate<number[]>(
      `[...document.querySelectorAll("h1, h2, h3, h4")].map(({ tagName }) => Number(tagName[1]))`,
    );
    assert.equal(levels[0], 1);
    for (const [i, level] of levels.entries()) assert.ok(level - (levels[i - 1] ?? 0) <= 1);
    const duplicates = await page.evaluate(`(() => {
      const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
      return ids.filter((id, index) => ids.indexOf(id) !== index);
    })()`);
    assert.deepEqual(duplicates, []);
    await page.close();
  });
});

/** As they are seen: without the source's line breaks. */
function words(texts: readonly string[]): string[] {
  return texts.map((text) => text.replaceAll(/\s+/g, " ").trim());
}
