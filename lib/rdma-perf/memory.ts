import { addon, type NativeMemory } from "../addon.js";
import type { Provider } from "../p2pmem/provider.js";
import { checkRegion } from "../rdma/access.js";
import type { MemoryRegion } from "../rdma/memory-region.js";
import type { ProtectionDomain } from "../rdma/protection-domain.js";
import { Access } from "../rdma/spec.js";

/** What a side's messages lie in: `--mr`. */
export type MessageMemory =
  | { readonly kind: "host" | "odp" }
  | { readonly kind: "p2pmem"; readonly provider: Provider }
  /** A descriptor that the process was given; it stays open. */
  | { readonly kind: "dmabuf"; readonly fd: number };

/** The memory of one side, registered. */
export interface OpenedMemory {
  readonly region: MemoryRegion;
  /** Null where it is a device's: the CPU leaves that alone. */
  readonly host: NativeMemory | null;
  close(): void;
}

const ACCESS = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_READ;

/** Errors: those of ProtectionDomain's register functions; NO_ROOM, TOO_MANY_SEGMENTS of a provider. */
export function openMemory(
  domain: ProtectionDomain,
  memory: MessageMemory,
  bytes: number,
): OpenedMemory {
  switch (memory.kind) {
    case "host":
      return openHost(domain, bytes, ACCESS);
    case "odp":
      return openHost(domain, bytes, ACCESS | Access.ON_DEMAND);
    case "p2pmem":
      return openPeer(domain, memory.provider, bytes);
    case "dmabuf":
      return registered(
        () => domain.registerDmabuf(memory.fd, 0, bytes, ACCESS),
        () => undefined,
      );
  }
}

function openHost(domain: ProtectionDomain, bytes: number, access: number): OpenedMemory {
  // What the device would refuse is not allocated first, page by page.
  checkRegion(domain.device, "host", bytes, access);
  const host = addon().allocatePinned(bytes, false);
  return registered(
    () => domain.registerMemory(host, 0, bytes, access),
    () => {
      host.close();
    },
    host,
  );
}

function openPeer(domain: ProtectionDomain, provider: Provider, bytes: number): OpenedMemory {
  if (provider.rdmaDevice === domain.device.name) return openOwn(domain, provider, bytes);
  const list = provider.allocScatterlist(bytes);
  return registered(
    () => domain.register(list, ACCESS),
    () => {
      provider.freeScatterlist(list);
    },
  );
}

/** The NIC reaches it by itself: there may be no device of VFIO that it could be mapped for. */
function openOwn(domain: ProtectionDomain, provider: Provider, bytes: number): OpenedMemory {
  const piece = provider.pool.alloc(bytes);
  const { offset } = piece;
  return registered(
    () => domain.registerOwn(provider, { offset, length: bytes }, ACCESS, piece),
    () => {
      provider.pool.free(piece);
    },
  );
}

/** `free`: called once nothing reaches the memory by the region, or where there is to be none. */
function registered(
  register: () => MemoryRegion,
  free: () => void,
  host: NativeMemory | null = null,
): OpenedMemory {
  let region: MemoryRegion;
  try {
    region = register();
  } catch (error) {
    free();
    throw error;
  }
  return {
    region,
    host,
    close: () => {
      region.close();
      free();
    },
  };
}
