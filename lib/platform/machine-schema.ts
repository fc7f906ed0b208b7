import { z } from "zod";
import { configureNvme, nvme, type NvmeConfiguration } from "./nvme-schema.js";
import { configureRnic, rnic, type RnicConfiguration } from "./rnic-schema.js";
import { acs, driver, LARGEST, only, powerOfTwo, type AcsControl } from "./schema.js";

export type { AcsControl, NvmeConfiguration, RnicConfiguration };

/** A loopback machine, as the addon's createLoopbackMachine() takes it. All sizes in bytes. */
export interface MachineConfiguration {
  name: string;
  /** Width of the IOMMU's addresses. */
  iovaBits: 39 | 48;
  /** What the root complex forwards of the requests from one device to another's BAR. */
  hostBridge: { forwards: "all" | "writes" | "none" };
  rootPorts: PortConfiguration[];
}

/** A root port, or a downstream port of a switch, with what is plugged into it. */
export interface PortConfiguration {
  acs: AcsControl[];
  device: SwitchConfiguration | NvmeConfiguration | CardConfiguration | RnicConfiguration;
}

export interface SwitchConfiguration {
  kind: "switch";
  ports: PortConfiguration[];
}

export interface CardConfiguration {
  kind: "card";
  driver: string | null;
  memory: number;
}

/** What Linux turns on where it can, which leaves each device an IOMMU group of its own. */
const ISOLATING: AcsControl[] = ["sv", "rr", "cr", "uf"];
/** A device number has five bits (PCIe 6.0 §2.2.4.2). */
const BUS_DEVICES = 32;

const card = only({ device: z.literal("card"), acs, driver, memory: powerOfTwo(LARGEST) });

// TypeScript cannot infer types that contain themselves.
type Leaf = typeof nvme | typeof card | typeof rnic;
type Port = z.output<Leaf> | Bridge<Port>;
type PortInput = z.input<Leaf> | Bridge<PortInput>;
interface Bridge<Below> {
  device: "switch";
  acs?: AcsControl[] | undefined;
  ports: Below[];
}

const bridge = only({
  device: z.literal("switch"),
  acs,
  get ports(): z.ZodArray<z.ZodType<Port, PortInput>> {
    return portList(BUS_DEVICES);
  },
});

const port = z.discriminatedUnion("device", [bridge, nvme, card, rnic], {
  error: "must say switch, nvme, card or rnic",
});

function portList(most: number) {
  return z
    .array(port, "must be a list of ports")
    .min(1, "must have a port at least")
    .max(most, `must be no more than ${most} ports`);
}

/** What a machine file says. */
export const machine = only({
  iova_bits: z.literal([39, 48], "must be 39 or 48").default(48),
  host_bridge: only({
    forwards: z.enum(["all", "writes", "none"], "must be all, writes or none").default("all"),
  }).default({ forwards: "all" }),
  root_ports: portList(BUS_DEVICES - 1), // the host bridge is on their bus
});

/** Fills in what was left to the machine. `directory` is where relative paths start. */
export function configure(
  name: string,
  parsed: z.output<typeof machine>,
  directory: string,
): MachineConfiguration {
  let controllers = 0;
  const nextSerial = () => `P2PMEM${String(controllers++).padStart(4, "0")}`;
  const convert = (entry: Port, acsDefault: AcsControl[]): PortConfiguration => {
    const control = entry.acs ?? acsDefault;
    switch (entry.device) {
      case "switch": {
        // A switch comes with redirection off: that is when peers reach each other directly.
        const ports = entry.ports.map((below) => convert(below, []));
        return { acs: control, device: { kind: "switch", ports } };
      }
      case "card":
        return {
          acs: control,
          device: { kind: "card", driver: entry.driver, memory: entry.memory },
        };
      case "rnic":
        return { acs: control, device: configureRnic(entry, directory) };
      case "nvme":
        return {
          acs: control,
          device: configureNvme(entry, entry.serial ?? nextSerial(), directory),
        };
    }
  };
  return {
    name,
    iovaBits: parsed.iova_bits,
    hostBridge: parsed.host_bridge,
    rootPorts: parsed.root_ports.map((entry) => convert(entry, ISOLATING)),
  };
}

function builtin(
  name: string,
  downstream: { acs?: AcsControl[] },
  more: PortInput[] = [],
): MachineConfiguration {
  const description: z.input<typeof machine> = {
    root_ports: [
      {
        device: "switch",
        ports: [
          { device: "nvme", cmb: "64m", ...downstream },
          { device: "nvme", ...downstream },
          { device: "card", memory: "256m", ...downstream },
          ...more,
        ],
      },
      { device: "nvme" },
    ],
  };
  return configure(name, machine.parse(description), process.cwd());
}

/**
 * The machines that need no file: a switch with an NVMe controller that has a CMB, another without,
 * and a p2pmem card; a third controller on a root port of its own. In `acs` the ports of the switch
 * redirect all requests and completions to the root complex; in `rdma` too, and there is a NIC below it,
 * which leaves the others to VFIO, since each has an IOMMU group of its own.
 */
export const builtinMachines = {
  default: builtin("default", {}),
  acs: builtin("acs", { acs: ISOLATING }),
  rdma: builtin("rdma", { acs: ISOLATING }, [{ device: "rnic", memory: "64m", acs: ISOLATING }]),
};
