import { chooseProvider } from "../bench/choose.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import { formatProvider, parseProvider, type ProviderSpec } from "../p2pmem/provider-name.js";
import type { Bdf } from "../pci/bdf.js";
import { assertRegisters } from "../rdma/assert-registers.js";
import type { RdmaDevice } from "../rdma/device.js";
import { layoutOf } from "../rdma-perf/layout.js";
import type { MessageMemory } from "../rdma-perf/memory.js";
import type { RdmaTest } from "../rdma-perf/plan.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";

/** What `--mr` says. */
export type MemorySpec =
  | { kind: "host" | "odp" }
  /** Null: the nearest. */
  | { kind: "p2pmem"; provider: ProviderSpec | null }
  | { kind: "dmabuf"; fd: number };

export const MEMORY_FORM = "host, odp, p2pmem[:PROVIDER] or dmabuf:FD";

/** Errors: BAD_ARGUMENT, and those of parseProvider(). */
export function parseMemory(text: string): MemorySpec {
  if (text === "host" || text === "odp") return { kind: text };
  if (text === "p2pmem") return { kind: "p2pmem", provider: null };
  if (text.startsWith("p2pmem:"))
    return { kind: "p2pmem", provider: parseProvider(text.slice("p2pmem:".length)) };
  const fd = /^dmabuf:(\d{1,9})$/.exec(text)?.[1];
  if (fd !== undefined) return { kind: "dmabuf", fd: Number(fd) };
  throw new P2pError("BAD_ARGUMENT", `"${text}" is no memory for messages`, {
    hint: `write ${MEMORY_FORM}`,
  });
}

/**
 * `sides`: of the test that are in this process, and have memory of their own each. Errors: NO_DMABUF,
 * NO_ROOM, and those of Session.provider() and chooseProvider().
 */
export async function openMemoryOf(
  session: Session,
  device: RdmaDevice,
  spec: MemorySpec,
  test: RdmaTest,
  sides: 1 | 2,
): Promise<MessageMemory> {
  if (spec.kind !== "p2pmem") return spec;
  if (device.fn === null)
    throw new P2pError(
      "NO_DMABUF",
      `${device.name} reaches no peer memory: there is no PCI function behind it`,
      { device: device.name, hint: "use --mr host, or a NIC on PCIe" },
    );
  const bytes = sides * layoutOf(test).bytes;
  const lacking = (why: string): P2pError => {
    const whose = sides === 1 ? "this side" : "both sides in this process";
    return new P2pError("NO_ROOM", `the messages of ${whose} take ${formatSize(bytes)}: ${why}`, {
      hint: "use a smaller --size, or fewer queue pairs: --qp",
    });
  };
  const provider =
    spec.provider === null
      ? await nearest(session, device, device.fn.address, bytes, lacking)
      : await session.provider(formatProvider(spec.provider));
  const { available } = provider.pool;
  if (available < bytes) throw lacking(`${provider.name} has ${formatSize(available)} free`);
  return { kind: "p2pmem", provider };
}

/** The NIC is its kernel driver's; what that takes is known when it is asked. */
async function nearest(
  session: Session,
  device: RdmaDevice,
  address: Bdf,
  bytes: number,
  lacking: (why: string) => P2pError,
): Promise<Provider> {
  try {
    const { provider } = await chooseProvider(session, [address], bytes, {
      owner: "kernel",
      assertFit: (provider) => {
        assertRegisters(device, provider);
      },
    });
    return provider;
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "NO_ROOM") throw error;
    throw lacking(error.message);
  }
}
