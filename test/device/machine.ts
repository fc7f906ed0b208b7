/** The devices that the device suite runs on: the loopback machine's, or in the lab the real ones. */
import { fileURLToPath } from "node:url";
import type { CopyPlan } from "#lib/copy/plan.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { PCI_CLASS_MEMORY_OTHER } from "#lib/pci/spec.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";

/** Kernel VFIO, under software emulation: the same tests with less data. */
export const isLab = process.env.P2PMEM_LAB === "1";

const MACHINE = fileURLToPath(new URL("../../test/device/machine.yaml", import.meta.url));

export interface Devices {
  /** An NVMe controller with a CMB. */
  nvmeCmb: string;
  /** One below the same switch; its second namespace has 4096-byte blocks, its third 512 (lab: and metadata). */
  nvme1: string;
  /** One with a PMR, on a root port of its own. */
  nvme2: string;
  /** A card whose BAR 2 is memory, below the switch. */
  card: string;
}

export function openSession(): Promise<Session> {
  return Session.open(isLab ? { platform: "vfio" } : { platform: "loopback", machine: MACHINE });
}

export function devicesOf(session: Session): Devices {
  const { env } = process;
  if (isLab)
    return { nvmeCmb: env.NVME_CMB!, nvme1: env.NVME1!, nvme2: env.NVME2!, card: env.CARD! };
  const nvme = session.pci.functions.filter((fn) => fn.isNvme);
  const card = session.pci.functions.find((fn) => fn.classCode === PCI_CLASS_MEMORY_OTHER);
  const [nvmeCmb, nvme1, nvme2] = nvme.map((fn) => fn.address);
  return { nvmeCmb: nvmeCmb!, nvme1: nvme1!, nvme2: nvme2!, card: card!.address };
}

/** A plan between two endpoints; the first namespaces, from their start, unless they say more. */
export function planOf(src: string, dst: string, rest: Partial<CopyPlan> = {}): CopyPlan {
  return {
    source: parseEndpoint(src),
    destination: parseEndpoint(dst),
    path: "host",
    provider: null,
    bs: 4096,
    iodepth: 8,
    allowWrite: true,
    ...rest,
  };
}

/** A namespace, opened for writing. */
export async function namespaceOf(
  session: Session,
  device: string,
  nsid = 1,
): Promise<NvmeNamespace> {
  const { namespaces } = await session.controller(device);
  const namespace = namespaces.find((candidate) => candidate.nsid === nsid)!;
  namespace.permitWrites();
  return namespace;
}

/** Maps a list for a namespace's controller, for as long as `use` takes. */
export async function withVector(
  list: ScatterList,
  { controller }: NvmeNamespace,
  use: (vector: DmaVector) => Promise<void>,
): Promise<void> {
  const vector = list.map(controller);
  try {
    await use(vector);
  } finally {
    vector.unmap();
  }
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 0x9e3779b1) | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Writes bytes to a namespace by way of host memory. */
export async function store(
  session: Session,
  namespace: NvmeNamespace,
  offset: number,
  bytes: Uint8Array,
): Promise<void> {
  const buffer = session.addressSpace.allocate(bytes.length);
  try {
    new Uint8Array(buffer.buffer).set(bytes);
    const list = new ScatterList(session.addressSpace).addHost(buffer, 0, bytes.length);
    const { blockSize } = namespace;
    await withVector(list, namespace, (vector) =>
      namespace.write(offset / blockSize, bytes.length / blockSize, vector),
    );
  } finally {
    buffer.close();
  }
}

/** Reads bytes of a namespace by way of host memory. */
export async function load(
  session: Session,
  namespace: NvmeNamespace,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const buffer = session.addressSpace.allocate(length);
  try {
    const list = new ScatterList(session.addressSpace).addHost(buffer, 0, length);
    const { blockSize } = namespace;
    await withVector(list, namespace, (vector) =>
      namespace.read(offset / blockSize, length / blockSize, vector),
    );
    return new Uint8Array(buffer.buffer, 0, length).slice();
  } finally {
    buffer.close();
  }
}
