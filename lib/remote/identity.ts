import { NvmeError } from "../errors.js";
import { toLine } from "../exchange/text.js";
import { hasDescriptors } from "../nvme/admin/identify.js";
import type { NvmeNamespace } from "../nvme/namespace.js";

/** At most so many characters tell a namespace from others. */
export const MAX_IDENTITY = 200;

/**
 * What a namespace is called for good, whichever controller is asked, best first; none: it has no such
 * name. Where it has neither an NGUID nor an EUI-64 its UUID is asked for (Namespace Identification
 * Descriptors, NVMe 1.4 §5.15.2.4). Errors: those of Identify.
 */
export async function namesOf(namespace: NvmeNamespace): Promise<string[]> {
  const { nguid, eui64 } = namespace.identity.fields;
  const names = [
    ...(isNone(nguid) ? [] : [`NGUID ${nguid}`]),
    ...(isNone(eui64) ? [] : [`EUI-64 ${eui64}`]),
  ];
  if (names.length > 0) return names;
  const uuid = await uuidOf(namespace);
  return uuid === null || isNone(uuid) ? [] : [`UUID ${uuid}`];
}

/**
 * What tells a namespace from all others, whatever address it has: one line, to be read and compared, as
 * it is when it comes back from a journal or from another machine.
 */
export function identityOf(
  { controller, nsid, size }: NvmeNamespace,
  names: readonly string[],
): string {
  const { modelNumber, serialNumber } = controller.identity;
  const device = `${modelNumber} ${serialNumber}`.trim();
  return toLine([device, `namespace ${nsid}`, ...names, `${size} bytes`].join(", "), MAX_IDENTITY);
}

/**
 * The same by all paths to a namespace: several controllers of a subsystem may have it (NVMe 1.4 §1.6,
 * figure 245 NMIC), and then what one of them writes the others read.
 */
export function volumeOf(
  { controller, nsid, identity }: NvmeNamespace,
  [name]: readonly string[],
): string {
  if (name !== undefined) return name;
  if ((identity.fields.nmic & NMIC_SHARED) === 0) return `${controller.address}/${nsid}`;
  // Of the subsystem, all three: its controllers have the same (figure 247 SN, §6.1.4 for the NSID).
  const { modelNumber, serialNumber } = controller.identity;
  return `${modelNumber} ${serialNumber}/${nsid}`;
}

const NMIC_SHARED = 1;

/** Null: it has none, or its controller says that it has no descriptors to tell it by. */
async function uuidOf({ controller, nsid }: NvmeNamespace): Promise<string | null> {
  if (!hasDescriptors(controller.identity)) return null;
  try {
    return (await controller.admin.namespaceDescriptors(nsid)).uuid;
  } catch (error) {
    if (error instanceof NvmeError && error.doNotRetry) return null;
    throw error;
  }
}

/** Zeros say that a namespace has no such name (NVMe 1.4 figure 245). */
function isNone(digits: string): boolean {
  return /^[0-]*$/.test(digits);
}
