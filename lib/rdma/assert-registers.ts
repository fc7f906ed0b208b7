import type { Provider } from "../p2pmem/provider.js";
import type { RdmaDevice } from "./device.js";
import { Access } from "./spec.js";

/**
 * Has the device register a page of the provider's memory, and lets it go again: what its driver and the
 * kernel take is known when they are asked. Errors: those of Provider.allocScatterlist() and
 * ProtectionDomain.register().
 */
export function assertRegisters(device: RdmaDevice, provider: Provider): void {
  const list = provider.allocScatterlist(1);
  try {
    const domain = device.allocateDomain();
    try {
      domain.register(list, Access.LOCAL_WRITE | Access.REMOTE_WRITE);
    } finally {
      domain.close();
    }
  } finally {
    provider.freeScatterlist(list);
  }
}
