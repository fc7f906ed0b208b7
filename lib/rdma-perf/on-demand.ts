import { P2pError } from "../errors.js";
import type { RdmaDevice } from "../rdma/device.js";
import { findOdpHazard, packetsBeginAtPages } from "../rdma/odp-hazard.js";
import type { RdmaPath } from "../rdma/path.js";
import { placesOf } from "./loops/places.js";
import type { RdmaTest } from "./plan.js";

/**
 * Figures of messages that end up elsewhere are worth nothing. `path`: of the connections, with their MTU. Errors: NO_ODP, where the device would have
 * some of them do so; those of findOdpHazard().
 */
export async function assertOnDemand(
  plan: RdmaTest,
  device: RdmaDevice,
  { port, gidIndex, mtu }: RdmaPath,
): Promise<void> {
  const hazard = await findOdpHazard(device, { port, gidIndex, mtu });
  if (hazard === null) return;
  // Of turns all messages lie at the begin of a page.
  const isAtPages = (size: number): boolean =>
    (plan.measure === "lat" || placesOf(size) === 1) && packetsBeginAtPages(0, size, mtu);
  const bad = plan.sizes.find((size) => !isAtPages(size));
  if (hazard.isRightAtPages && bad === undefined) return;
  const which =
    bad === undefined ? "" : `, and those of ${bad}-byte messages do not at an MTU of ${mtu}`;
  throw new P2pError("NO_ODP", `${hazard.reason}${which}`, {
    device: device.name,
    hint: "use --mr host; of bw, messages of 4k and more at an MTU of 4096 may be right",
  });
}
