/** The RDMA device that the RDMA suite runs on: the loopback machine's NIC, or in the lab soft-RoCE. */
import { fileURLToPath } from "node:url";
import { addon } from "#lib/addon.js";
import { MachineFile } from "#lib/platform/machine-file.js";
import type { NativeRdmaDevice, NativeRdmaGid } from "#lib/rdma-addon.js";

/** The kernel's driver by libibverbs, under software emulation: the same tests with less data. */
export const isLab = process.env.P2PMEM_LAB === "1";

/** scripts/lab/soft-roce */
const LAB_DEVICE = "rxe0";

const MACHINE = fileURLToPath(new URL("../../test/rdma/machine.yaml", import.meta.url));

/** What is passed on to libibverbs: IBV_ACCESS_ and ibv_wc_status. */
export const ACCESS = { localWrite: 1, remoteWrite: 2, remoteRead: 4, onDemand: 64 };
export const ALL_ACCESS = ACCESS.localWrite | ACCESS.remoteWrite | ACCESS.remoteRead;
export const STATUS = {
  success: 0,
  localLength: 1,
  localOperation: 2,
  localProtection: 4,
  flushed: 5,
  remoteInvalidRequest: 9,
  remoteAccess: 10,
  remoteOperation: 11,
  retryExceeded: 12,
  rnrRetryExceeded: 13,
};

export interface RdmaPorts {
  readonly device: NativeRdmaDevice;
  /** The ports that two ends of a connection use: of the one machine, wired to each other. */
  readonly ports: readonly [number, number];
}

export interface RdmaMachine extends RdmaPorts {
  close(): void;
}

export function openRdmaMachine(): RdmaMachine {
  if (isLab) {
    const device = addon().openVerbsDevice(LAB_DEVICE);
    return {
      device,
      // Its only one, which reaches itself.
      ports: [1, 1],
      close: () => {
        device.close();
      },
    };
  }
  const machine = addon().createLoopbackMachine(new MachineFile(MACHINE).configuration);
  const device = machine.openRdmaDevice(machine.rdmaDevices()[0]!.name);
  return {
    device,
    ports: [1, 2],
    close: () => {
      device.close();
      machine.close();
    },
  };
}

/** One that is open while the tests of the describe() run that calls this. */
export function useRdmaMachine(): RdmaPorts {
  let machine: RdmaMachine;
  before(() => {
    machine = openRdmaMachine();
  });
  after(() => {
    machine.close();
  });
  return {
    get device() {
      return machine.device;
    },
    get ports() {
      return machine.ports;
    },
  };
}

/** The GID to connect by: RoCE v2's, if there is one, and of those the one that is of an address. */
export function gidOf(device: NativeRdmaDevice, port: number): NativeRdmaGid {
  const gids = device.gids(port);
  return gids.filter(({ type }) => type === "rocev2").at(-1) ?? gids.at(-1)!;
}
