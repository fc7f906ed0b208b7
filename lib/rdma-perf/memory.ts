import { addon, type NativeMemory } from "../addon.js";
import type { Provider } from "../p2pmem/provider.js";
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
    case "dmabuf": {
      const region = domain.registerDmabuf(memory.fd, 0, bytes, ACCESS);
      return {
        region,
        host: null,
        close: () => {
          region.close();
        },
      };
    }
  }
}

function openHost(domain: ProtectionDomain, bytes: number, access: number): OpenedMemory {
  const host = addon().allocatePinned(bytes, false);
  try {
    const region = domain.registerMemory(host, 0, bytes, access);
    return {
      region,
      host,
      close: () => {
        region.close();
        host.close();
      },
    };
  } catch (error) {
    host.close();
    throw error;
  }
}

function openPeer(domain: ProtectionDomain, provider: Provider, bytes: number): OpenedMemory {
  if (provider.rdmaDevice === domain.device.name) return openOwn(domain, provider, bytes);
  const list = provider.allocScatterlist(bytes);
  let region: MemoryRegion;
  try {
    region = domain.register(list, ACCESS);
  } catch (error) {
    provider.freeScatterlist(list);
    throw error;
  }
  return {
    region,
    host: null,
    close: () => {
      region.close();
      provider.freeScatterlist(list);
    },
  };
}

/** The NIC reaches it by itself: there may be no device of VFIO that it could be mapped for. */
function openOwn(domain: ProtectionDomain, provider: Provider, bytes: number): OpenedMemory {
  const piece = provider.pool.alloc(bytes);
  const { offset } = piece;
  let region: MemoryRegion;
  try {
    region = domain.registerOwn(provider, { offset, length: bytes }, ACCESS, piece);
  } catch (error) {
    provider.pool.free(piece);
    throw error;
  }
  return {
    region,
    host: null,
    close: () => {
      region.close();
      provider.pool.free(piece);
    },
  };
}
