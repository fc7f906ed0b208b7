import { P2pError } from "../errors.js";

/**
 * An address as a device behind the IOMMU uses it. A safe integer in a double, since a bigint would
 * cost the hot path an allocation; IOMMUs in use translate 39 to 52 bits.
 */
export type Iova = number & { readonly __brand: "Iova" };

/** Errors: IOVA_RANGE. */
export function toIova(address: number): Iova {
  if (!Number.isSafeInteger(address) || address < 0)
    throw new P2pError("IOVA_RANGE", `${address} is not an IOVA`);
  return address as Iova;
}
