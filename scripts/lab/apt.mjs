// A private apt: its own lists and cache, the machine's own mirror and keys.
//
// The guest's kernel comes from another suite than the host's packages. Nothing of that suite may
// reach the host's apt, and no mirror's name may stand in this repository, so both the mirror and the
// keyring are read from the sources that the machine already trusts.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { LabError, capture } from "./command.mjs";

const SOURCES = "/etc/apt/sources.list";
const SOURCES_DIRECTORY = "/etc/apt/sources.list.d";

/** sources.list(5), one-line format: `deb [options] uri suite component…`. */
function parseOneLine(text) {
  const entries = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const [, options = "", uri, suite, components] = match;
    entries.push({
      uris: [uri],
      suites: [suite],
      components: components.trim().split(/\s+/),
      signedBy: /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1],
    });
  }
  return entries;
}

/** sources.list(5), deb822 format: stanzas of `Field: value`, continued by indented lines. */
function parseStanzas(text) {
  const entries = [];
  for (const stanza of text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/)) {
    const fields = {};
    for (const [, name, value] of stanza.matchAll(/^([\w-]+):((?:.*)(?:\n[ \t].*)*)/gm)) {
      fields[name.toLowerCase()] = value;
    }
    const words = (name) => fields[name]?.trim().split(/\s+/) ?? [];
    if (!words("types").includes("deb") || fields.enabled?.trim().toLowerCase() === "no") continue;
    entries.push({
      uris: words("uris"),
      suites: words("suites"),
      components: words("components"),
      // As it stands: a key block may be spelled out here, over several indented lines.
      signedBy: fields["signed-by"],
    });
  }
  return entries;
}

/** The mirror that serves `suite` to this machine, and the keys it is checked with. */
export function machineSource(suite) {
  const parts = existsSync(SOURCES_DIRECTORY) ? readdirSync(SOURCES_DIRECTORY).sort() : [];
  const files = [SOURCES, ...parts.map((name) => join(SOURCES_DIRECTORY, name))];
  for (const file of files) {
    if (!existsSync(file)) continue;
    const parse = file.endsWith(".sources")
      ? parseStanzas
      : file.endsWith(".list")
        ? parseOneLine
        : () => [];
    const entry = parse(readFileSync(file, "utf8")).find(
      ({ suites, components }) => suites.includes(suite) && components.includes("main"),
    );
    if (entry !== undefined) return { uri: entry.uris[0], signedBy: entry.signedBy };
  }
  throw new LabError(`no apt source of this machine serves ${suite} main`);
}

/** An apt that sees one suite and keeps all its state below `directory`. */
export class PrivateApt {
  #options;

  constructor(directory, { uri, signedBy }, suite) {
    for (const part of ["lists/partial", "cache/archives/partial"]) {
      mkdirSync(join(directory, part), { recursive: true });
    }
    const sources = join(directory, "lab.sources");
    writeFileSync(
      sources,
      [
        "Types: deb",
        `URIs: ${uri}`,
        `Suites: ${suite}`,
        "Components: main",
        "Architectures: amd64",
        ...(signedBy === undefined ? [] : [`Signed-By: ${signedBy}`]),
        "",
      ].join("\n"),
    );
    this.#options = Object.entries({
      "Dir::State::Lists": join(directory, "lists"),
      // Without the host's list of installed packages only this suite is looked at.
      "Dir::State::Status": "/dev/null",
      "Dir::Cache": join(directory, "cache"),
      "Dir::Etc::SourceList": sources,
      "Dir::Etc::SourceParts": "-",
      // The directory belongs to whoever runs the lab, so apt's own user could not write there.
      "APT::Sandbox::User": process.getuid() === 0 ? "root" : "",
      "APT::Architecture": "amd64",
    }).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }

  update() {
    capture("apt-get", [...this.#options, "update"]);
  }

  packageNames() {
    return capture("apt-cache", [...this.#options, "pkgnames"])
      .toString()
      .trim()
      .split("\n");
  }

  /** Downloads packages, checked against the suite's signature, into `directory`. */
  download(packages, directory) {
    capture("apt-get", [...this.#options, "download", ...packages], { cwd: directory });
  }
}
