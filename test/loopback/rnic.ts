/** The loopback machine with a NIC, for what only it can show. */
import assert from "node:assert/strict";
import { addon, type NativeFault, type NativeLoopbackMachine } from "#lib/addon.js";
import { builtinMachines, type MachineConfiguration } from "#lib/platform/machine-schema.js";
import type { NativeRdmaDevice } from "#lib/rdma-addon.js";
import type { RdmaMachine } from "../rdma/machine.js";

export { STATUS as WC } from "../rdma/machine.js";

/** Of the built-in machine `rdma`. */
export const CARD = "0000:05:00.0";
export const RNIC = "0000:06:00.0";

/** ibv_event_type. */
export const EVENT = {
  completionQueue: 0,
  queuePairFatal: 1,
  queuePairRequest: 2,
  queuePairAccess: 3,
  deviceFatal: 8,
  portActive: 9,
  portError: 10,
};

export class RnicMachine implements RdmaMachine {
  readonly machine: NativeLoopbackMachine;
  readonly device: NativeRdmaDevice;
  readonly ports: readonly [number, number];
  readonly events: { type: number; queuePair: number; port: number }[] = [];

  constructor(
    configuration: MachineConfiguration = builtinMachines.rdma,
    ports: readonly [number, number] = [1, 2],
  ) {
    this.machine = addon().createLoopbackMachine(configuration);
    this.ports = ports;
    this.device = this.machine.openRdmaDevice("rnic0");
    this.device.onEvent((type, queuePair, port) => {
      this.events.push({ type, queuePair, port });
    });
  }

  inject(fault: NativeFault, address = RNIC): void {
    this.machine.inject(address, fault);
  }

  counters() {
    return this.machine.rdmaCounters("rnic0");
  }

  /** Returns once so many events of this kind have come. */
  async event(type: number, count = 1): Promise<void> {
    await until(() => this.events.filter((event) => event.type === type).length >= count);
  }

  close(): void {
    this.device.onEvent(null);
    this.device.close();
    this.machine.close();
  }
}

export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < end, "it did not come about");
    await new Promise(setImmediate);
  }
}
