import { counted, formatSize, shortSize } from "../../units.js";
import type { BenchReport, BenchResult, DeviceReport, MachineReport } from "../report.js";

/**
 * From so many samples on the intervals hold what they promise. Of three samples they hold the true
 * ratio in 87 of a hundred runs, of four in 92 (normal noise, 300 runs each).
 */
const ENOUGH_SAMPLES = 5;

/** What makes a comparison of the two doubtful, in words. */
export function runWarnings(old: BenchReport, now: BenchReport): string[] {
  const runs = [
    { name: "old", report: old },
    { name: "new", report: now },
  ];
  return [
    ...differences(old, now).map(
      ([what, before, after]) => `the machines differ in ${what}: ${before}, now ${after}`,
    ),
    ...(old.version === now.version
      ? []
      : [`measured by different versions of p2pmem: ${old.version}, now ${now.version}`]),
    ...runs
      .filter(({ report }) => report.incomplete)
      .map(({ name }) => `the ${name} run ended early: it has less samples, or less results`),
    ...(old.results.some((result) => result.failed !== null)
      ? ["some results of the old run failed: there is nothing to compare the new ones with"]
      : []),
    ...fewSamples([old, now]),
    ...runs.flatMap(({ name, report }) => report.warnings.map((text) => `${name} run: ${text}`)),
  ];
}

/** Of parameters that tell no results apart, and yet bear upon the figures. */
const SETTINGS: readonly [name: string, of: (result: BenchResult) => string | null][] = [
  ["size", ({ size }) => (size === null ? null : shortSize(size))],
  ["randseed", ({ randseed }) => String(randseed)],
  ["verify", ({ verify }) => verify?.mode ?? "none"],
];

/** In what results that are compared were not measured alike, once for each difference. */
export function settingWarnings(
  pairs: readonly (readonly [old: BenchResult, now: BenchResult])[],
): string[] {
  const counts = new Map<string, number>();
  for (const [old, now] of pairs) {
    // Of what failed it may not be known, and nothing is judged.
    if (old.failed !== null || now.failed !== null) continue;
    for (const [name, of] of SETTINGS) {
      const [before, after] = [of(old), of(now)];
      if (before === null || after === null || before === after) continue;
      const consequence = name === "verify" && after === "none" ? ": its data may be wrong" : "";
      const difference = `${name}: ${before}, now ${after}${consequence}`;
      counts.set(difference, (counts.get(difference) ?? 0) + 1);
    }
  }
  return [...counts].map(
    ([difference, count]) => `not measured alike: ${counted(count, "result")} in ${difference}`,
  );
}

type Difference = [what: string, old: string, now: string];

function differences(old: BenchReport, now: BenchReport): Difference[] {
  const facts = ({ platform, machine }: BenchReport): [string, string][] => [
    ["platform", platform],
    ["CPU", `${machine.cpu.cores} x ${machine.cpu.model}`],
    ["governor", machine.cpu.governor ?? "unknown"],
    ["memory", formatSize(machine.memory_bytes)],
    ["kernel", machine.kernel],
    ["Node.js", machine.node],
    ["IOMMU", machine.iommu ?? "unknown"],
  ];
  const after = facts(now);
  return [
    ...facts(old).map(([what, value], index): Difference => [what, value, after[index]![1]]),
    ...deviceDifferences(old.machine, now.machine),
  ].filter(([, before, value]) => before !== value);
}

/** Of devices that both runs used. */
function deviceDifferences(old: MachineReport, now: MachineReport): Difference[] {
  return old.devices.flatMap((device) => {
    const other = now.devices.find(({ address }) => address === device.address);
    if (other === undefined) return [];
    const facts: [string, (device: DeviceReport) => string][] = [
      [device.address, ({ name }) => name],
      [`the link of ${device.address}`, ({ link }) => linkOf(link)],
      [`the NUMA node of ${device.address}`, ({ numa_node: node }) => String(node ?? "unknown")],
    ];
    return facts.map(([what, of]): Difference => [what, of(device), of(other)]);
  });
}

function linkOf(link: DeviceReport["link"]): string {
  return link === null ? "unknown" : `${link.gts} GT/s x${link.width}`;
}

function fewSamples(reports: readonly BenchReport[]): string[] {
  const counts = reports
    .flatMap(({ results }) => results.map(({ samples }) => samples.bw_bytes.length))
    .filter((count) => count > 0);
  const fewest = Math.min(...counts);
  return counts.length > 0 && fewest < ENOUGH_SAMPLES
    ? [
        `with ${fewest} samples intervals are narrower than they should be: ` +
          `measure with --samples ${ENOUGH_SAMPLES} or more`,
      ]
    : [];
}
