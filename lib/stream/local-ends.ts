import type { Platform } from "../platform.js";
import type { StreamOffer } from "./offer.js";

/** The ends that are open, by machine. */
const open = new WeakMap<Platform, Set<StreamOffer>>();

export function addLocalEnd(platform: Platform, offer: StreamOffer): void {
  const offers = open.get(platform) ?? new Set();
  open.set(platform, offers.add(offer));
}

export function deleteLocalEnd(platform: Platform, offer: StreamOffer): void {
  open.get(platform)?.delete(offer);
}

/** Whether that end is one of this process, too, on the same machine: its counters then count both. */
export function isLocalEnd(platform: Platform, { queuePair, data }: StreamOffer): boolean {
  return [...(open.get(platform) ?? [])].some(
    (offer) =>
      offer.queuePair.number === queuePair.number &&
      offer.queuePair.psn === queuePair.psn &&
      offer.data.rkey === data.rkey,
  );
}
