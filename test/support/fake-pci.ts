import type { RawPciFunction, RawTopology } from "#lib/platform.js";

/** A PCI function made up for a test: only what is given differs from a plain endpoint. */
export interface FakeFunction {
  address: string;
  parent?: string;
  classCode?: number;
  /** Resource lines as sysfs has them: BAR 0 to 5, ROM, windows. */
  resources?: { start: number; size: number; flags?: number }[];
  /** ACS control register; makes it a PCI Express port with an ACS capability. */
  acs?: number;
  isBridge?: boolean;
  /** Bytes of configuration space that can be read. */
  configBytes?: number;
}

export const MEMORY = 0x200;
export const NONE = { start: 0, size: 0, flags: 0 };

/** A machine of these functions, with a processor that hands requests between root ports. */
export function fakeTopology(functions: RawPciFunction[]): RawTopology {
  return { functions, cpu: { vendor: "AuthenticAMD", family: 0x17, model: "fake" } };
}

export function fakeFunction(facts: FakeFunction): RawPciFunction {
  const config = new DataView(new ArrayBuffer(4096));
  config.setUint16(0x00, 0x1b36, true);
  config.setUint16(0x02, 0x0010, true);
  config.setUint16(0x06, 0x10, true); // status: capability list
  config.setUint32(0x08, (facts.classCode ?? 0x010802) * 256, true);
  config.setUint8(0x0e, facts.isBridge ? 1 : 0);
  config.setUint8(0x34, 0x40);
  config.setUint16(0x40, 0x0010, true); // PCI Express capability, last in the list
  if (facts.acs !== undefined) {
    config.setUint32(0x100, 0x0001 | (1 << 16) | (0x140 << 20), true); // AER first
    config.setUint32(0x140, 0x000d | (1 << 16), true);
    config.setUint16(0x146, facts.acs, true);
  }
  return {
    address: facts.address,
    parent: facts.parent ?? null,
    hostBridge: "pci0000:00",
    hostBridgeParent: null,
    vendorId: 0x1b36,
    deviceId: 0x0010,
    config: new Uint8Array(config.buffer, 0, facts.configBytes ?? 4096),
    resources: (facts.resources ?? []).map(({ start, size, flags }) => ({
      start: BigInt(start),
      size: BigInt(size),
      flags: BigInt(flags ?? MEMORY),
    })),
    driver: "vfio-pci",
    iommuGroup: 1,
    iommuDomainType: "DMA",
    physicalFunction: null,
    link: null,
    numaNode: null,
  };
}

/**
 * A root port with a switch of three ports (01: up; 02:00..02 down) and three endpoints, and one
 * endpoint on a root port of its own. `acs`: control register of the downstream ports.
 */
export function fakeSwitch(acs: number, configBytes = 4096): RawPciFunction[] {
  const bridge = (address: string, parent?: string): RawPciFunction =>
    fakeFunction({
      address,
      ...(parent === undefined ? {} : { parent }),
      classCode: 0x060400,
      isBridge: true,
      acs,
      configBytes,
    });
  const bar0 = { start: 0xfe000000, size: 0x4000 };
  return [
    bridge("0000:00:01.0"),
    bridge("0000:01:00.0", "0000:00:01.0"),
    bridge("0000:02:00.0", "0000:01:00.0"),
    bridge("0000:02:01.0", "0000:01:00.0"),
    bridge("0000:02:02.0", "0000:01:00.0"),
    fakeFunction({ address: "0000:03:00.0", parent: "0000:02:00.0", resources: [bar0] }),
    fakeFunction({ address: "0000:04:00.0", parent: "0000:02:01.0" }),
    fakeFunction({ address: "0000:05:00.0", parent: "0000:02:02.0", classCode: 0x058000 }),
    fakeFunction({ address: "0000:05:00.1", parent: "0000:02:02.0", classCode: 0x058000 }),
    bridge("0000:00:02.0"),
    fakeFunction({ address: "0000:06:00.0", parent: "0000:00:02.0" }),
  ];
}
