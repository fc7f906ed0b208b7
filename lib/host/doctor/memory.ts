import { counted, formatSize } from "../../units.js";
import type { Host } from "../host.js";
import { CAP_IPC_LOCK } from "../spec.js";
import { type Check, results } from "./check.js";

const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";
/** 128 MiB: the buffers of a benchmark with its defaults, and some more. */
const HUGEPAGES = 64;
const MEMLOCK_BYTES = HUGEPAGES * 2 ** 21;

/** Without them 4 KiB pages do, which cost more mappings and IOMMU misses. */
export function checkHugepages(host: Host): Check {
  const { pass, warn, skip } = results("hugepages");
  const total = host.read(`${POOL}/nr_hugepages`);
  if (total === null) return skip(`no ${POOL}`);
  const free = Number(host.read(`${POOL}/free_hugepages`));
  const evidence = `${free} of ${counted(Number(total), "page")} of 2 MiB free`;
  return free > 0
    ? pass(evidence)
    : // Of this size: vm.nr_hugepages counts those of the default size.
      warn(evidence, `echo ${Number(total) + HUGEPAGES} | sudo tee ${POOL}/nr_hugepages`);
}

/** vfio_iommu_type1.c counts pinned pages against RLIMIT_MEMLOCK, except with CAP_IPC_LOCK. */
export function checkMemlock(host: Host): Check {
  const { pass, warn, skip } = results("memlock");
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(host.read("/proc/self/status") ?? "")?.[1];
  if (capabilities !== undefined && (BigInt(`0x${capabilities}`) >> CAP_IPC_LOCK) & 1n)
    return pass("not limited: CAP_IPC_LOCK");
  const limit = /^Max locked memory\s+(\S+)/m.exec(host.read("/proc/self/limits") ?? "")?.[1];
  if (limit === undefined) return skip("no limit in /proc/self/limits");
  if (limit === "unlimited") return pass("unlimited");
  const evidence = `${formatSize(Number(limit))} (ulimit -l), which must cover all buffers`;
  return Number(limit) >= MEMLOCK_BYTES
    ? pass(evidence)
    : warn(
        evidence,
        'echo "$(id -un) - memlock unlimited" | sudo tee /etc/security/limits.d/p2pmem.conf, and log in again',
      );
}
