/** Namespaces that do not do as they should, and legs to try them on. */
import type { Leg } from "#lib/proof/leg.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { PAGE } from "#lib/nvme/spec.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { pattern } from "../device/machine.js";
import { rawVector } from "./raw-vector.js";

/** Bytes of a leg that may be read. */
export const RANGE = 64 * 1024;
/** An IOVA at which nothing is mapped. */
export const UNMAPPED = 2 ** 37;

/** What a medium may hold: also what a device reads where nobody answers. */
export const FILLINGS: [string, Uint8Array][] = [
  ["random blocks", pattern(RANGE, 51)],
  ["blocks of zeros", new Uint8Array(RANGE)],
  ["blocks of ones", new Uint8Array(RANGE).fill(0xff)],
];

export type Transfer = (lba: number, blocks: number, data: DmaVector) => Promise<void>;

/** A namespace whose transfers go through `change` first. */
export function meddle(
  namespace: NvmeNamespace,
  change: (name: "read" | "write" | "compare", transfer: Transfer) => Transfer,
): NvmeNamespace {
  return new Proxy(namespace, {
    get(target, key) {
      if (key === "read" || key === "write" || key === "compare")
        return change(key, target[key].bind(target));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A namespace that reaches no page of the provider for which `isCut` holds; bytes from its start. */
export function cut(
  namespace: NvmeNamespace,
  provider: Provider,
  isCut: (offset: number) => boolean,
): NvmeNamespace {
  return meddle(namespace, (_name, transfer) => (lba, blocks, data) => {
    if (!data.isPeer) return transfer(lba, blocks, data);
    const start = data.addresses[0]!;
    const pieces = [];
    for (let at = 0; at < data.byteLength; at += PAGE) {
      const address = isCut(start + at - provider.iova) ? UNMAPPED + 2 * at : start + at;
      pieces.push({ address, length: Math.min(PAGE, data.byteLength - at) });
    }
    return transfer(lba, blocks, rawVector(data.client, pieces, data.mapType));
  });
}

export function legOf(namespace: NvmeNamespace, rest: Partial<Leg> = {}): Leg {
  return {
    ...{ client: "destination", direction: "read", namespace, offset: 0, length: RANGE },
    ...{ scratch: null },
    ...rest,
  };
}
