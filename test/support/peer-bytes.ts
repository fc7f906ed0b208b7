import { addon } from "#lib/addon.js";
import type { Provider } from "#lib/p2pmem/provider.js";

/** The CPU writes peer memory, from `offset` on. */
export function writePeer(provider: Provider, offset: number, bytes: Uint8Array): void {
  const memory = addon().allocatePinned(bytes.length, false);
  try {
    new Uint8Array(memory.buffer).set(bytes);
    addon().copy(provider.memory, offset, memory, 0, bytes.length);
  } finally {
    memory.close();
  }
}

/** The CPU reads peer memory. */
export function readPeer(provider: Provider, offset: number, length: number): Uint8Array {
  const memory = addon().allocatePinned(length, false);
  try {
    addon().copy(memory, 0, provider.memory, offset, length);
    return new Uint8Array(memory.buffer, 0, length).slice();
  } finally {
    memory.close();
  }
}
