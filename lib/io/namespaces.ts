import { P2pError } from "../errors.js";
import type { NvmeController } from "../nvme/controller.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import type { Endpoint } from "./endpoint.js";

/** Whoever writes a namespace of a real device has been told so, by name. */
export function checkWritable(
  session: Session,
  { allowWrite }: { allowWrite: boolean },
  { device, nsid }: Endpoint,
): void {
  if (session.platform.kind === "loopback" || allowWrite) return;
  throw new P2pError("WRITE_NOT_ALLOWED", `writing to ${device}/${nsid} was not allowed`, {
    device,
    hint: "name the namespace and add --allow-write (library: allowWrite: true)",
  });
}

/** Errors: UNKNOWN_DEVICE, NOT_NVME, NO_NAMESPACE; those of opening the device. */
export async function findNamespace(session: Session, endpoint: Endpoint): Promise<NvmeNamespace> {
  const controller = await session.controller(endpoint.device);
  const namespace = controller.namespaces.find(({ nsid }) => nsid === endpoint.nsid);
  if (namespace !== undefined) return namespace;
  throw new P2pError("NO_NAMESPACE", `${endpoint.device} has no namespace ${endpoint.nsid}`, {
    device: endpoint.device,
    hint: namespacesOf(controller),
  });
}

function namespacesOf(controller: NvmeController): string {
  const ids = controller.namespaces.map(({ nsid }) => nsid);
  return ids.length === 0 ? "it has none" : `it has ${ids.join(", ")}`;
}
