import type { BenchPath } from "../bench/point.js";
import type { Series } from "./groups.js";

/** How a series is drawn, besides its path's colour: who cannot tell the colours has these. */
export interface Look {
  /** SVG path data around (0, 0). */
  marker: string;
  /** Pixels drawn and left out, in turn. */
  dash: readonly number[];
}

const MARKERS: Record<BenchPath, string> = {
  p2p: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
  host: "M-3.5 -3.5h7v7h-7Z",
  cpu: "M0 -4.5L4.5 3.5h-9Z",
  "nvme-copy": "M0 -5L5 0L0 5L-5 0Z",
  "rdma-p2p": "M0 -5L1.5 -1.5L5 0L1.5 1.5L0 5L-1.5 1.5L-5 0L-1.5 -1.5Z",
  "rdma-host": "M-4.5 -2.5h9v5h-9Z",
  "kernel-p2p": "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
  "kernel-host": "M0 4.5L4.5 -3.5h-9Z",
};

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

export function lookOf({ path, variant }: Series): Look {
  return { marker: MARKERS[path], dash: DASHES[variant % DASHES.length]! };
}
