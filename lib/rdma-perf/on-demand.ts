import { P2pError } from "../errors.js";
import type { RdmaDevice } from "../rdma/device.js";
import { findOdpHazard, packetsBeginAtPages, type OdpHazard } from "../rdma/odp-hazard.js";
import type { RdmaPath } from "../rdma/path.js";
import { PAGE } from "./layout.js";
import { placesOf } from "./loops/places.js";
import type { RdmaTest } from "./plan.js";

/**
 * Figures of messages that end up elsewhere are worth nothing. `path`: of the connections, with their MTU.
 * Errors: NO_ODP, where the device would have some of them do so; those of findOdpHazard().
 */
export async function assertOnDemand(
  plan: RdmaTest,
  device: RdmaDevice,
  { port, gidIndex, mtu }: RdmaPath,
): Promise<void> {
  const hazard = await findOdpHazard(device, { port, gidIndex, mtu });
  const refusal = hazard && refusalOf(plan, device.name, mtu, hazard);
  if (refusal !== null) throw refusal;
}

/** Why a test is not to be run on demand; null: it may be. `mtu`: bytes. */
export function refusalOf(
  plan: Pick<RdmaTest, "measure" | "sizes">,
  device: string,
  mtu: number,
  { reason, isRightAtPages }: OdpHazard,
): P2pError | null {
  // Of turns all messages lie at the begin of a page.
  const isAtPages = (size: number): boolean =>
    (plan.measure === "lat" || placesOf(size) === 1) && packetsBeginAtPages(0, size, mtu);
  const bad = plan.sizes.find((size) => !isAtPages(size));
  if (isRightAtPages && bad === undefined) return null;
  const which =
    bad === undefined ? "" : `, and those of ${bad}-byte messages do not at an MTU of ${mtu}`;
  return new P2pError("NO_ODP", `${reason}${which}`, {
    device,
    hint: hintOf(plan, mtu, isRightAtPages),
  });
}

/** Of messages up to half a page several share a page in tests of bandwidth: placesOf(). */
function hintOf(
  { measure }: Pick<RdmaTest, "measure">,
  mtu: number,
  isRightAtPages: boolean,
): string {
  const pinned = "use pinned memory (--mr host)";
  const larger = "messages of more than 2k";
  if (isRightAtPages) return `${pinned}, or ${larger} (-s 4k)`;
  if (mtu >= PAGE) return pinned;
  const also = measure === "bw" ? ` and ${larger}` : "";
  return `${pinned}; or, where the ports have it, an MTU of 4096 (-m 4096)${also}`;
}
