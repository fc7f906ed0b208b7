import type { BenchPath } from "../bench/point.js";
import type { BenchResult } from "../bench/report.js";
import { shortSize } from "../units.js";
import { shortName } from "./addresses.js";

/** What each path is, for who does not know its name. */
export const PATH_WORDS: Record<BenchPath, string> = {
  p2p: "through memory of a peer device",
  host: "through host memory",
  cpu: "through host memory, then by the CPU into memory of a peer device",
  "nvme-copy": "inside the controller",
  "rdma-p2p": "over RDMA, by way of memory of a peer device at both ends",
  "rdma-host": "over RDMA, by way of host memory at both ends",
  "kernel-p2p": "the kernel’s driver, through memory of a peer device",
  "kernel-host": "the kernel’s driver, through host memory",
};

/** `copy, bs=1m iodepth=32`, of a result: what was asked of the devices. */
export function pointWords({ rw, bs, iodepth, numjobs }: BenchResult): string {
  return `${rw}, bs=${shortSize(bs)} iodepth=${iodepth}${numjobs === 1 ? "" : ` numjobs=${numjobs}`}`;
}

/** `03:00.0/1 → 04:00.0/1`; without an arrow where data only come or only go. */
export function pairWords({ src, dst }: Pick<BenchResult, "src" | "dst">): string {
  return [src, dst]
    .filter((name) => name !== null)
    .map(shortName)
    .join(" → ");
}
