import type { NativeDmaFault } from "../../addon.js";
import type { PathProof } from "../../proof/path.js";
import type { Platform } from "../../platform.js";
import { formatSize } from "../../units.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";
import { lines } from "./normal.js";
import { table, type Column } from "./table.js";

/** What `probe` writes. */
export interface ProbeReport extends PathProof {
  version: string;
  platform: Platform["kind"];
  source: string;
  provider: string;
  destination: string;
}

type LegRow = PathProof["legs"][number];

/** Faults that a person is shown; JSON has all, and CSV their number for each leg. */
const SHOWN_FAULTS = 4;

export function probeJson({ verdict, faults, ...report }: ProbeReport): string {
  return stringify({ ...report, faults: faults?.map(readable) ?? null, verdict });
}

/** One row for each leg; its faults are a number, or nothing where they are not known. */
export function probeCsv({ provider, legs, faults, verdict }: ProbeReport): string {
  const columns = ["client", "device", "direction", "required", "outcome", "bytes", "faults"];
  return rows([
    ["provider", ...columns, "detail", "verdict"],
    ...legs.map((leg) => [
      ...[provider, leg.client, leg.device, leg.direction, String(leg.required), leg.outcome],
      ...[leg.bytes, countFaults(leg, faults), leg.detail, verdict],
    ]),
  ]);
}

function countFaults(
  { device, direction }: LegRow,
  faults: readonly NativeDmaFault[] | null,
): number | string {
  const isOfLeg = (fault: NativeDmaFault): boolean =>
    fault.device === device && fault.write === (direction === "write");
  return faults?.filter(isOfLeg).length ?? "";
}

/** For a person: what was found on each leg, why where it is not well, and what that means. */
export function probeTable(report: ProbeReport): string {
  const { source, provider, destination, legs, faults, verdict } = report;
  const name = (leg: LegRow): string => describeLeg(leg, provider);
  const columns: Column<LegRow>[] = [
    { title: "leg", align: "left", value: name },
    { title: "needed", align: "left", value: ({ required }) => (required ? "yes" : "no") },
    { title: "canaries", align: "right", value: ({ bytes }) => formatSize(bytes) },
    { title: "outcome", align: "left", value: ({ outcome }) => outcome },
  ];
  const carriesNothing = verdict === "loses data" || verdict === "refused";
  const details = legs
    .filter(({ outcome }) => outcome !== "proved")
    .flatMap((leg) => [`${name(leg)}:`, `  ${leg.detail}`]);
  return lines([
    `${source} to ${destination}, through ${provider}`,
    "",
    ...table(columns, legs),
    "",
    ...details,
    ...faultLines(faults),
    `verdict: ${verdict}${carriesNothing ? "; copy --via host does without it" : ""}`,
  ]);
}

function describeLeg({ client, device, direction }: LegRow, provider: string): string {
  return direction === "write"
    ? `${client} ${device} to ${provider}`
    : `${provider} to ${client} ${device}`;
}

function faultLines(faults: readonly NativeDmaFault[] | null): string[] {
  if (faults === null) return ["IOMMU faults: not known, the kernel's log cannot be read"];
  if (faults.length === 0) return [];
  const shown = faults.slice(0, SHOWN_FAULTS).map((fault) => {
    const { device, iova, write, reason } = readable(fault);
    return `  ${device} ${write ? "write" : "read"} ${iova}: ${reason}`;
  });
  const more = faults.length - shown.length;
  return [`IOMMU faults: ${faults.length}`, ...shown, ...(more > 0 ? [`  and ${more} more`] : [])];
}

function readable(fault: NativeDmaFault): Omit<NativeDmaFault, "iova"> & { iova: string } {
  return { ...fault, iova: `0x${fault.iova.toString(16)}` };
}
