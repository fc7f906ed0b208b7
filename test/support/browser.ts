import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";

/** Where pages and screenshots are left for a person to look at. */
const DIRECTORY = join(import.meta.dirname, "../../build/report");

/** Debian's. */
export function startBrowser(): Promise<Browser> {
  // It would not run as root with a sandbox; what it opens here was written by the tests.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args });
}

export interface OpenedPage {
  page: Page;
  /** What it asked for besides itself. */
  requests: string[];
  /** What its console said, and what was thrown in it. */
  complaints: string[];
}

export interface View {
  width?: number;
  theme?: "light" | "dark";
}

/** A page that was written to a file, opened from there, with nothing else to be had. */
export async function openPage(
  browser: Browser,
  name: string,
  html: string,
  { width = 1280, theme = "light" }: View = {},
): Promise<OpenedPage> {
  mkdirSync(DIRECTORY, { recursive: true });
  const file = join(DIRECTORY, `${name}.html`);
  writeFileSync(file, html);
  const url = pathToFileURL(file).href;
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: theme });
  const requests: string[] = [];
  const complaints: string[] = [];
  await page.route("**/*", (route) => {
    if (route.request().url() === url) return route.continue();
    requests.push(route.request().url());
    return route.abort();
  });
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  return { page, requests, complaints };
}

export async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(DIRECTORY, `${name}.png`), fullPage: true });
}

/** How many colours each plot has, beside its background; a blank one has none. */
export function coloursOfPlots(page: Page): Promise<number[]> {
  // In the page's words, for whose types the tests are not compiled.
  return page.evaluate(`[...document.querySelectorAll(".plot canvas")].map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] === 255) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size;
  })`);
}
