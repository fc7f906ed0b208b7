/** What a memory region may be used for (ibv_reg_mr(3)). */
import { P2pError } from "../errors.js";
import type { NativeRdmaAttributes } from "../rdma-addon.js";
import { Access } from "./spec.js";

/** host memory, a provider's, a dma-buf that the user brought, the device's own */
export type RegionTarget = "host" | "peer" | "dmabuf" | "device";

/** What is asked of the device that registers. */
export interface Registrar {
  readonly name: string;
  readonly attributes: NativeRdmaAttributes;
}

const KNOWN = Object.values(Access).reduce((all, flag) => all | flag, 0);

/**
 * Before the kernel, which says EINVAL for most of it. Errors: BAD_ARGUMENT, NO_ODP, BAD_RANGE,
 * REGION_TOO_LARGE.
 */
export function checkRegion(
  device: Registrar,
  target: RegionTarget,
  length: number,
  access: number,
): void {
  checkAccess(device, target, access);
  const details = { device: device.name };
  if (!Number.isSafeInteger(length) || length < 1)
    throw new P2pError("BAD_RANGE", `a memory region has a byte at least, not ${length}`, details);
  const most = Number(device.attributes.maxRegionBytes);
  if (length > most)
    throw new P2pError(
      "REGION_TOO_LARGE",
      `${device.name} registers up to ${most} bytes at once, not ${length}`,
      { ...details, hint: "have smaller messages or fewer queue pairs, or register it in parts" },
    );
}

function checkAccess({ name, attributes }: Registrar, target: RegionTarget, access: number): void {
  const has = (flag: number): boolean => (access & flag) !== 0;
  const refuse = (code: string, message: string, hint: string): P2pError =>
    new P2pError(code, message, { device: name, hint });
  if (!Number.isInteger(access) || (access & ~KNOWN) !== 0)
    throw refuse("BAD_ARGUMENT", `${access} are no access flags of a region`, "see Access");
  // InfiniBand 1.4 §11.2.8.2: whoever lets others write must be allowed to write itself.
  if (has(Access.REMOTE_WRITE) && !has(Access.LOCAL_WRITE))
    throw refuse(
      "BAD_ARGUMENT",
      "a region that others may write needs LOCAL_WRITE, too",
      "register it with LOCAL_WRITE and REMOTE_WRITE",
    );
  if (!has(Access.ON_DEMAND)) return;
  if (target !== "host")
    throw refuse(
      "BAD_ARGUMENT",
      "only host memory is registered for on-demand paging",
      "leave ON_DEMAND out: the driver of a dma-buf's device has it moved or revoked",
    );
  const paging = attributes.onDemandPaging;
  if (paging === null)
    throw refuse("NO_ODP", `${name} has no on-demand paging`, "register pinned memory");
  for (const [flag, can, what] of [
    [Access.REMOTE_WRITE, paging.write, "writes"],
    [Access.REMOTE_READ, paging.read, "reads"],
  ] as const)
    if (has(flag) && !can)
      throw refuse(
        "NO_ODP",
        `${name} has no on-demand paging for ${what} over reliable connections`,
        "register pinned memory",
      );
}
