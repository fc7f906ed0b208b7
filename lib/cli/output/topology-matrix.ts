import type { PciFunction } from "../../pci/function.js";
import type { PeerPath, Verdict } from "../../pci/peer-path.js";
import { tablesWithin, type Column } from "./table.js";
import { wrapWords } from "./text.js";

/** Providers and clients whose paths are looked at. */
export interface Matrix {
  providers: readonly PciFunction[];
  clients: readonly PciFunction[];
  path: (provider: PciFunction, client: PciFunction) => PeerPath;
}

/** More reasons than that nobody reads; JSON and CSV have each pair's. */
const MOST_REASONS = 20;
const INDENT = "  ";

const SHORT = { BUS_ADDR: "BUS", THROUGH_HOST_BRIDGE: "HOST", NOT_SUPPORTED: "no", UNKNOWN: "?" };

/** For programs: null for what is not known. */
export function known(word: string): string | null {
  return word.toLowerCase() === "unknown" ? null : word;
}

/** A row for each client, a column for each provider, then why a pair cannot, or may not. */
export function matrixLines(matrix: Matrix): string[] {
  const { providers, clients } = matrix;
  if (providers.length === 0)
    return ["No provider: no endpoint has a prefetchable memory BAR of 1 MiB or more."];
  if (clients.length === 0)
    return ["No client: there is no NVMe controller, network adapter, GPU or accelerator."];
  const reasons = new Reasons();
  const rows = clients.map((client) => ({
    client,
    cells: providers.map((provider) => {
      const path = matrix.path(provider, client);
      reasons.add(path);
      return cell(path);
    }),
  }));
  return [
    "Peer to peer, client by provider: hops, map type, GB/s of the slowest link on the way",
    ...blocks(providers, rows).flatMap((block) => ["", ...block]),
    "",
    ...legend(rows.flatMap(({ cells }) => cells)),
    ...reasons.lines(),
  ];
}

interface Row {
  client: PciFunction;
  cells: string[];
}

function blocks(providers: readonly PciFunction[], rows: readonly Row[]): string[][] {
  const label: Column<Row> = {
    title: "client",
    align: "left",
    value: ({ client }) => client.address,
  };
  const columns = providers.map(({ address }, index): Column<Row> => ({
    title: address,
    align: "left",
    value: ({ cells }) => cells[index]!,
  }));
  return tablesWithin(label, columns, rows, INDENT);
}

/** `6 no/HOST? 7.9`: by the kernel and by VFIO, where they differ. */
function cell(path: PeerPath): string {
  const [kernel, vfio] = [short(path.kernel), short(path.vfio)];
  const verdict = kernel === vfio ? kernel : `${kernel}/${vfio}`;
  const impossible = kernel === "no" && vfio === "no";
  const rate =
    path.bottleneck === null || impossible
      ? ""
      : ` ${(path.bottleneck.bandwidth / 1e9).toFixed(1)}`;
  return `${path.distance} ${verdict}${rate}`;
}

function short(verdict: Verdict & { readonly needsProof?: boolean }): string {
  const proof = verdict.needsProof === true && verdict.mapType !== "UNKNOWN" ? "?" : "";
  return SHORT[verdict.mapType] + proof;
}

/** Of what occurs. */
function legend(cells: readonly string[]): string[] {
  const words = new Set(cells.flatMap((text) => text.split(/[ /]/)));
  const meanings: [string, string][] = [
    ["BUS", "straight to the memory's bus address, below a switch"],
    ["BUS?", "inside a device that need not hand requests over: p2pmem probe tells"],
    ["HOST", "through the host bridge"],
    ["HOST?", "through a host bridge that nobody vouches for: p2pmem probe tells"],
    ["no", "not supported"],
    ["?", "not known"],
  ];
  return [
    ...meanings.filter(([word]) => words.has(word)),
    ...(cells.some((text) => text.includes("/"))
      ? [["A/B", "A where kernel drivers own both (p2pdma), B where VFIO does"] as const]
      : []),
  ].map(([word, meaning]) => `${INDENT}${word.padEnd(6)} ${meaning}`);
}

interface Reason {
  verdict: string;
  owners: Set<string>;
  reason: string;
  pairs: number;
  /** The last pair counted. */
  path: PeerPath;
  example: PeerPath;
}

/** Why pairs cannot or may not, each reason once. */
class Reasons {
  readonly #byText = new Map<string, Reason>();

  add(path: PeerPath): void {
    this.#addVerdict(path, "kernel", path.kernel);
    this.#addVerdict(path, "VFIO", path.vfio);
  }

  lines(): string[] {
    const all = [...this.#byText.values()].sort((a, b) => b.pairs - a.pairs);
    if (all.length === 0) return [];
    const more = all.length - MOST_REASONS;
    return [
      "",
      "Why",
      ...all.slice(0, MOST_REASONS).flatMap((entry) => describe(entry)),
      ...(more > 0 ? [`${INDENT}and ${more} more reasons, which --json has`] : []),
    ];
  }

  #addVerdict(
    path: PeerPath,
    owner: string,
    verdict: Verdict & { readonly needsProof?: boolean },
  ): void {
    const word = short(verdict);
    if (word === "BUS" || word === "HOST") return;
    const key = `${word} ${verdict.reason}`;
    const known = this.#byText.get(key);
    if (known === undefined) {
      const { reason } = verdict;
      const owners = new Set([owner]);
      this.#byText.set(key, { verdict: word, owners, reason, pairs: 1, path, example: path });
      return;
    }
    known.owners.add(owner);
    // Kernel and VFIO may have the same reason for the same pair.
    if (known.path !== path) known.pairs++;
    known.path = path;
  }
}

function describe({ verdict, owners, reason, pairs, example }: Reason): string[] {
  const rest = INDENT.repeat(2);
  const pair = `${example.client.address} with ${example.provider.address}`;
  return [
    ...wrapWords(`${verdict} (${[...owners].join(", ")}): ${reason}`, INDENT, rest),
    `${rest}${pairs === 1 ? pair : `${pairs} pairs, such as ${pair}`}`,
  ];
}
