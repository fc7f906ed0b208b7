import type { MachineReport } from "../bench/report.js";
import { formatSize } from "../units.js";
import { shortName } from "./addresses.js";
import { DeviceTree, HOST_MEMORY, ROOT } from "./device-tree.js";
import type { Flow } from "./flows.js";
import { html, type Markup } from "./markup.js";
import { digits } from "./quantities.js";
import { BOX_HEIGHT, GUTTER, TopologyLayout, WIDTH } from "./topology-layout.js";

/** Of a letter, in the widest of the usual fonts, for what is written in 12 and in 10.5 units. */
const TITLE_LETTER = 6.8;
const DETAIL_LETTER = 5.7;
/** Kept for what is said of a link. */
const LINK_WIDTH = 92;

/** What a drawing is of, besides the machine. */
interface Subject {
  /** Unique in the page. */
  id: string;
  title: string;
  /** Null: the devices alone. */
  flow: Flow | null;
}

/**
 * The devices as a tree, one below the other. Of a flow those at its ends and above them, and over
 * them the way of its data, leg by leg.
 */
export function topologySvg(machine: MachineReport, { id, title, flow }: Subject): Markup {
  const all = new DeviceTree(machine.devices);
  const tree = flow === null ? all : new DeviceTree(all.devicesAbove(flow.ends));
  const layout = new TopologyLayout(tree);
  const passed = new Set(flow?.legs.flatMap(({ way }) => way ?? []));
  const legs = (flow?.legs ?? []).flatMap(({ way }) => (way === null ? [] : [way]));
  const words = [title, ...(flow?.legs ?? []).map((leg) => leg.words)].join("; ");
  return html`<svg
    class="topology path-${flow?.path ?? "none"}"
    viewBox="0 0 ${WIDTH} ${layout.height}"
    role="img"
    aria-label="${words}"
  >
    <marker id="${id}" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="3.2" orient="auto">
      <path d="M0 0L8 4L0 8Z" />
    </marker>
    <path class="connector" d="${layout.connectors.join("")}" />
    ${layout.boxes.map(({ place, left, top }) =>
      box(describe(place, machine, tree, flow), left, top, passed.has(place)),
    )}
    ${legs.map(
      (way, leg) =>
        html`<path
          class="leg ${leg % 2 === 0 ? null : "second"}"
          d="${layout.line(way, leg, legs.length)}"
          marker-end="url(#${id})"
        />`,
    )}
  </svg>`;
}

/** What is written in a box: at the left, and at the right of its link. */
interface Label {
  title: string;
  detail: string;
  link: string;
  traffic: string;
}

function describe(
  place: string,
  machine: MachineReport,
  tree: DeviceTree,
  flow: Flow | null,
): Label {
  const none = { link: "", traffic: "" };
  if (place === ROOT) return { ...none, title: "Root complex", detail: machine.cpu.model };
  if (place === HOST_MEMORY)
    return { ...none, title: "Host memory", detail: formatSize(machine.memory_bytes) };
  const device = tree.device(place)!;
  const over = flow?.links.get(place);
  return {
    title: device.name,
    detail: [shortName(device.address), device.role, device.driver]
      .filter((part) => part !== null)
      .join(" · "),
    link: linkWords(device.link) ?? "link unknown",
    traffic: over === undefined ? "" : `${digits(over)} B a byte`,
  };
}

/** `16 GT/s ×4` */
export function linkWords(link: { gts: number; width: number } | null): string | null {
  return link === null ? null : `${link.gts} GT/s ×${link.width}`;
}

function box(
  { title, detail, link, traffic }: Label,
  left: number,
  top: number,
  isPassed: boolean,
) {
  const right = WIDTH - 2;
  const room = right - left - GUTTER - (link === "" ? 8 : LINK_WIDTH);
  return html`<g class="device ${isPassed ? "passed" : ""}">
    <title>${[title, detail, link, traffic].filter((text) => text !== "").join(", ")}</title>
    <rect x="${left}" y="${top}" width="${right - left}" height="${BOX_HEIGHT}" rx="6" />
    <text x="${left + GUTTER}" y="${top + 18}" class="name">
      ${shortened(title, room / TITLE_LETTER)}
    </text>
    <text x="${left + GUTTER}" y="${top + 33}">${shortened(detail, room / DETAIL_LETTER)}</text>
    <text x="${right - 10}" y="${top + 18}" text-anchor="end">${link}</text>
    <text x="${right - 10}" y="${top + 33}" text-anchor="end" class="traffic">${traffic}</text>
  </g>`;
}

/** The whole text is in the box's title. */
function shortened(text: string, letters: number): string {
  const most = Math.max(Math.floor(letters), 1);
  return text.length <= most ? text : `${text.slice(0, most - 1).trimEnd()}…`;
}
