import type { Bdf } from "#lib/pci/bdf.js";
import type { MapType } from "#lib/pci/peer-path.js";
import { DmaVector } from "#lib/sgl/dma-vector.js";
import type { Perishable } from "#lib/sgl/memory.js";
import { joinAndCut, Segments } from "#lib/sgl/segments.js";

/** Addresses that no scatterlist gave, as though they had been mapped for `client`. */
export function rawVector(
  client: Bdf,
  pieces: readonly { address: number; length: number }[],
  mapType: MapType | null = null,
  memory: readonly Perishable[] = [],
): DmaVector {
  const segments = new Segments();
  for (const { address, length } of pieces) segments.push(address, length);
  const { addresses, lengths } = joinAndCut(segments, Infinity, Infinity, Infinity)!;
  return new DmaVector({
    client,
    addresses,
    lengths,
    byteLength: lengths.reduce((sum, length) => sum + length, 0),
    mapType,
    memory,
    onUnmap: () => undefined,
  });
}
