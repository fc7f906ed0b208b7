/** Where the ends of a copy over RDMA meet the wire. */
import { assertRegisters } from "../../rdma/assert-registers.js";
import type { RdmaDevice } from "../../rdma/device.js";
import { isActive } from "../../rdma/path.js";
import type { Session } from "../../session.js";
import type { BenchJob } from "../job/job.js";
import type { OfEnds, RdmaPort } from "../point.js";

/**
 * As a job says it. Where it does not: one device, from its first active port to the next one, or of a
 * device with a single one to itself. Errors: those of Session.rdmaDevice(); NO_PORT, PORT_DOWN, NO_GID.
 */
export function rdmaPortsOf(
  session: Session,
  { ibDev, ibPort, gidIndex }: Pick<BenchJob, "ibDev" | "ibPort" | "gidIndex">,
): OfEnds<RdmaPort> {
  const source = session.rdmaDevice(ibDev?.[0]);
  const destination = ibDev === null ? source : session.rdmaDevice(ibDev[1]);
  const from = portOf(source, ibPort?.[0], gidIndex?.[0]);
  const next = source === destination ? nextPort(source, from.port) : undefined;
  return [from, portOf(destination, ibPort?.[1] ?? next, gidIndex?.[1])];
}

function portOf(
  device: RdmaDevice,
  wantedPort: number | undefined,
  wantedGid: number | undefined,
): RdmaPort {
  const { port, gidIndex } = device.choosePath({ port: wantedPort, gidIndex: wantedGid });
  return { dev: device.name, address: device.fn?.address ?? null, port, gidIndex };
}

/** The next that is active, which may be the same again. */
function nextPort(device: RdmaDevice, port: number): number {
  const { ports } = device.attributes;
  let next = port;
  do next = (next % ports) + 1;
  while (next !== port && !isActive(device.port(next)));
  return next;
}

/** Errors: those of Session.provider() and assertRegisters(). */
export async function assertBothRegister(
  session: Session,
  ends: OfEnds<RdmaPort>,
  providerName: string,
): Promise<void> {
  const provider = await session.provider(providerName);
  for (const { dev } of ends) assertRegisters(session.rdmaDevice(dev), provider);
}
