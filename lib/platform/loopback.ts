import {
  addon,
  type NativeAddressSpace,
  type NativeLoopbackMachine,
  type NativeTraffic,
  type RawPciFunction,
} from "../addon.js";
import type { Platform } from "../platform.js";
import type { MachineConfiguration } from "./machine-file.js";

/** The machine in a box: a PCI fabric, an IOMMU and devices, simulated by the addon. */
export class LoopbackPlatform implements Platform {
  readonly kind = "loopback";
  readonly description: string;
  readonly #machine: NativeLoopbackMachine;

  constructor(configuration: MachineConfiguration) {
    this.description = `the loopback machine "${configuration.name}"`;
    this.#machine = addon().createLoopbackMachine(configuration);
  }

  functions(): RawPciFunction[] {
    return this.#machine.functions();
  }

  openAddressSpace(): NativeAddressSpace {
    return this.#machine.openAddressSpace();
  }

  traffic(): NativeTraffic {
    return this.#machine.traffic();
  }

  close(): void {
    this.#machine.close();
  }
}
