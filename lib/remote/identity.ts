import { toLine } from "../exchange/text.js";
import type { NvmeNamespace } from "../nvme/namespace.js";

/** At most so many characters tell a namespace from others. */
export const MAX_IDENTITY = 200;

/**
 * What tells a namespace from all others, whatever address it has: one line, to be read and compared, as
 * it is when it comes back from a journal or from another machine.
 */
export function identityOf({ controller, nsid, size, identity }: NvmeNamespace): string {
  const { modelNumber, serialNumber } = controller.identity;
  const { nguid, eui64 } = identity.fields;
  const names = [
    `${modelNumber} ${serialNumber}`.trim(),
    `namespace ${nsid}`,
    ...(isNone(nguid) ? [] : [`NGUID ${nguid}`]),
    ...(isNone(eui64) ? [] : [`EUI-64 ${eui64}`]),
    `${size} bytes`,
  ];
  return toLine(names.join(", "), MAX_IDENTITY);
}

/**
 * The same by all paths to a namespace: several controllers of a subsystem may have it (NVMe 1.4 §1.6,
 * figure 245 NMIC), and then what one of them writes the others read.
 */
export function volumeOf({ controller, nsid, identity }: NvmeNamespace): string {
  const { nguid, eui64, nmic } = identity.fields;
  if (!isNone(nguid)) return `NGUID ${nguid}`;
  if (!isNone(eui64)) return `EUI-64 ${eui64}`;
  if ((nmic & NMIC_SHARED) === 0) return `${controller.address}/${nsid}`;
  // Of the subsystem, all three: its controllers have the same (figure 247 SN, §6.1.4 for the NSID).
  const { modelNumber, serialNumber } = controller.identity;
  return `${modelNumber} ${serialNumber}/${nsid}`;
}

const NMIC_SHARED = 1;

/** Zeros say that a namespace has no such name (NVMe 1.4 figure 245). */
function isNone(digits: string): boolean {
  return /^0*$/.test(digits);
}
