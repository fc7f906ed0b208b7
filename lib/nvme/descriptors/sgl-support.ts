import { SGLS } from "../spec.js";

/** What a controller can do with SGLs (Identify Controller, SGLS: NVMe 1.4 figure 247). */
export interface SglSupport {
  /** What addresses and lengths of data blocks must be multiples of; `none`: it takes no SGLs. */
  readonly alignment: "none" | "byte" | "dword";
  /** Descriptors that throw data away. */
  readonly hasBitBucket: boolean;
}

export function decodeSgls(sgls: number): SglSupport {
  // 11b is reserved: whatever it will mean, it is not known here.
  const alignment =
    (["none", "byte", "dword", "none"] as const)[sgls & SGLS.SUPPORT_MASK] ?? "none";
  return { alignment, hasBitBucket: alignment !== "none" && (sgls & SGLS.BIT_BUCKET) !== 0 };
}
