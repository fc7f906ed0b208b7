import {
  addon,
  type NativeAddressSpace,
  type NativeFault,
  type NativeLoopbackMachine,
  type NativePciFunction,
  type NativeTraffic,
} from "../addon.js";
import type { NativeRdmaDevice } from "../rdma-addon.js";
import type { Platform, RawPciFunction, RawTopology } from "../platform.js";
import type { MachineConfiguration, PortConfiguration } from "./machine-schema.js";

/** The machine in a box: a PCI fabric, an IOMMU and devices, simulated by the addon. */
export class LoopbackPlatform implements Platform {
  readonly kind = "loopback";
  readonly description: string;
  /** A NIC of it is wired to a machine in another process, not its ports to each other. */
  readonly isWired: boolean;
  readonly #machine: NativeLoopbackMachine;

  constructor(configuration: MachineConfiguration) {
    this.description = `the loopback machine "${configuration.name}"`;
    this.isWired = configuration.rootPorts.some(hasWire);
    this.#machine = addon().createLoopbackMachine(configuration);
  }

  topology(): RawTopology {
    return {
      functions: this.#machine.functions().map(withKernelFacts),
      // One whose root complexes differ: what forwards here is said by the host bridge alone.
      cpu: { vendor: "GenuineIntel", family: 6, model: "loopback" },
    };
  }

  openAddressSpace(): NativeAddressSpace {
    return this.#machine.openAddressSpace();
  }

  traffic(): NativeTraffic {
    return this.#machine.traffic();
  }

  /** Has a device do wrong (docs/machine-file.md, "Faults"). Errors: UNKNOWN_DEVICE, BAD_MACHINE. */
  inject(address: string, fault: NativeFault): void {
    this.#machine.inject(address, fault);
  }

  /** Takes back what has not happened yet. Errors: UNKNOWN_DEVICE. */
  clearFaults(address: string): void {
    this.#machine.clearFaults(address);
  }

  /**
   * Puts in again what was removed: in power-on state, with its media and its PMR as they were. Errors:
   * UNKNOWN_DEVICE; IN_USE while what was there is still open.
   */
  replug(address: string): void {
    this.#machine.replug(address);
  }

  rdmaDevices(): { name: string; address: string }[] {
    return this.#machine.rdmaDevices();
  }

  openRdmaDevice(name: string): NativeRdmaDevice {
    return this.#machine.openRdmaDevice(name);
  }

  close(): void {
    this.#machine.close();
  }
}

function hasWire({ device }: PortConfiguration): boolean {
  if (device.kind === "switch") return device.ports.some(hasWire);
  return device.kind === "rnic" && device.wire !== null;
}

/** What a kernel would say of a function in a machine with one host bridge and no SR-IOV. */
function withKernelFacts(fn: NativePciFunction): RawPciFunction {
  const config = new DataView(fn.config.buffer, fn.config.byteOffset);
  return {
    ...fn,
    vendorId: config.getUint16(0, true),
    deviceId: config.getUint16(2, true),
    hostBridge: "pci0000:00",
    hostBridgeParent: null,
    iommuDomainType: "DMA",
    physicalFunction: null,
    link: null,
  };
}
