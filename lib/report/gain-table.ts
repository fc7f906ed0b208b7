import { dataTable, type Column } from "./data-table.js";
import { gainsOf, hostBytesPerByte, type Gain, type Outcome } from "./gain.js";
import type { Group } from "./groups.js";
import type { Markup } from "./markup.js";
import { bandwidth, change, digits, ratio, UNKNOWN } from "./quantities.js";
import { pairWords, pointWords } from "./words.js";

const OUTCOMES: Record<Outcome, string> = {
  faster: "faster",
  slower: "slower",
  same: "within the noise",
  unknown: UNKNOWN,
};

/** A job's results through peer memory beside those through host memory; null where there are none. */
export function gainTable({ job, results }: Group): Markup | null {
  const gains = gainsOf(results);
  return gains.length === 0
    ? null
    : dataTable(`${job}: through peer memory against through host memory`, COLUMNS, gains);
}

const COLUMNS: Column<Gain>[] = [
  { title: "what", align: "left", value: ({ peer }) => pointWords(peer) },
  { title: "from → to", align: "left", value: ({ peer }) => pairWords(peer) },
  { title: "path", align: "left", value: ({ peer }) => peer.path },
  { title: "peer memory", align: "right", value: ({ peer }) => bandwidth(peer.bw_bytes) },
  { title: "host memory", align: "right", value: ({ host }) => bandwidth(host.bw_bytes) },
  { title: "ratio", align: "right", value: (gain) => ratio(gain.ratio) },
  {
    title: "interval",
    align: "right",
    value: ({ interval }) =>
      interval === null ? UNKNOWN : `${digits(interval[0])} – ${digits(interval[1])}`,
  },
  { title: "outcome", align: "left", value: ({ outcome }) => OUTCOMES[outcome] },
  { title: "driver time a block", align: "right", value: ({ cpu }) => change(cpu) },
  {
    title: "host memory B/B",
    align: "right",
    value: ({ peer, host }) =>
      `${digits(hostBytesPerByte(peer))} against ${digits(hostBytesPerByte(host))}`,
  },
];
