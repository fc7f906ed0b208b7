/**
 * The rules for a provider and a client once more, written from their text: over the descriptions of
 * machines rather than their registers, with lists and sets rather than walks, and without any regard
 * for speed. What it says is compared with peerPath() for all pairs.
 */
import type { DescribedFunction, DescribedMachine } from "./topology.js";

type MapType = "BUS_ADDR" | "THROUGH_HOST_BRIDGE" | "NOT_SUPPORTED" | "UNKNOWN";

export interface Answer {
  distance: number;
  kernel: MapType;
  vfio: MapType;
  needsProof: boolean;
  route: string;
  completionRoute: string;
  /** The bottleneck's function and its bandwidth in whole MB/s. */
  bottleneck: string | null;
}

/** Vendor, then devices, as the rules' text lists them; `*`: within one host bridge only. */
const LIST = `
  8086 3c00* 3c01* 2f00* 2f01* 2030 2031 2032 2033 2020 09a2 0b25 0cfe 11fb 1212 1216 4940 4942 4944 4946 4948
  1ae0 any
  10de 2f95 2f96 2f97 2f98`;

export class Oracle {
  readonly #machine: DescribedMachine;

  constructor(machine: DescribedMachine) {
    this.#machine = machine;
  }

  answer(providerAddress: string, clientAddress: string): Answer {
    const [provider, client] = [this.#find(providerAddress), this.#find(clientAddress)];
    const [fromProvider, fromClient] = [this.#wayUp(provider), this.#wayUp(client)];
    const common = fromProvider.filter((fn) => fromClient.includes(fn))[0];
    const [belowProvider, belowClient] = [fromProvider, fromClient].map((way) =>
      way.filter((fn) => !(common ? this.#wayUp(common) : []).includes(fn)),
    ) as [DescribedFunction[], DescribedFunction[]];
    const forwards = this.#rootComplexForwards(provider, client);
    const through =
      forwards === "yes" ? "THROUGH_HOST_BRIDGE" : forwards === "no" ? "NOT_SUPPORTED" : "UNKNOWN";

    const acs =
      common && this.#ofAny([...belowProvider, common, ...belowClient], ["rr", "cr", "ec"]);
    const kernel = !acs || acs === "yes" ? through : acs === "no" ? "BUS_ADDR" : "UNKNOWN";

    const way = (from: DescribedFunction[], to: DescribedFunction[], redirect: string): string => {
      if (provider === client) return "internal";
      if (!common) return "root";
      const [enters, leaves] = [from.at(-1), to.at(-1)];
      if (!enters) return "direct";
      if (this.#machine.isCut) return "unknown";
      const on: readonly string[] = enters.acs ?? [];
      const isOneDevice = leaves !== undefined && ["root", "down"].includes(common.kind);
      if (redirect === "rr" && on.includes("ec") && leaves) {
        const number = isOneDevice ? functionNumber(enters, leaves) : deviceNumber(leaves);
        if (number === null || number > 31) return "unknown";
        if (enters.egress.includes(number)) return on.includes("rr") ? "root" : "blocked";
      } else if (on.includes(redirect)) return "root";
      return isOneDevice && enters.acs === null ? "unstated" : "direct";
    };
    const route = way(belowClient, belowProvider, "rr");
    const completionRoute = way(belowProvider, belowClient, "cr");
    const routes = [route, completionRoute];
    const climbs = routes.includes("root");
    const isLost =
      routes.includes("blocked") ||
      !this.#machine.hasIommu ||
      [provider, client].some(({ within }) => within !== null);
    const vfio = isLost
      ? "NOT_SUPPORTED"
      : climbs
        ? "THROUGH_HOST_BRIDGE"
        : routes.includes("unknown")
          ? "UNKNOWN"
          : "BUS_ADDR";
    const links = climbs ? [...fromClient, ...fromProvider] : [...belowClient, ...belowProvider];
    return {
      ...{
        distance: belowProvider.length + belowClient.length,
        kernel,
        vfio,
        route,
        completionRoute,
      },
      needsProof:
        vfio === "UNKNOWN" ||
        (vfio === "THROUGH_HOST_BRIDGE" && forwards !== "yes") ||
        (!isLost && routes.includes("unstated")),
      bottleneck: routes.every((each) => ["direct", "root"].includes(each))
        ? this.#slowest(links)
        : null,
    };
  }

  #find(wanted: string): DescribedFunction {
    return this.#machine.functions.filter(({ address }) => address === wanted)[0]!;
  }

  #wayUp(fn: DescribedFunction): DescribedFunction[] {
    return fn.parent === null ? [fn] : [fn, ...this.#wayUp(this.#find(fn.parent))];
  }

  #ofAny(functions: DescribedFunction[], controls: string[]): "yes" | "no" | "unknown" {
    if (functions.length === 0) return "no";
    if (this.#machine.isCut) return "unknown";
    const on = new Set(functions.flatMap(({ acs }) => acs ?? []) as string[]);
    return controls.some((control) => on.has(control)) ? "yes" : "no";
  }

  #rootComplexForwards(a: DescribedFunction, b: DescribedFunction): "yes" | "no" | "unknown" {
    const { cpu } = this.#machine;
    if (cpu?.vendor === "AuthenticAMD" && cpu.family >= 23) return "yes";
    const entries = [a, b].map(({ host }) => this.#entry(host, a.host === b.host));
    if (entries.every((entry) => entry === "yes")) return "yes";
    return cpu && entries.includes("no") ? "no" : "unknown";
  }

  #entry(host: string, isOne: boolean): "yes" | "no" | "unknown" {
    const root = this.#machine.functions
      .filter((fn) => fn.host === host && fn.parent === null)
      .sort((a, b) => a.address.localeCompare(b.address))[0]!;
    const id = (value: number): string => value.toString(16).padStart(4, "0");
    const line = LIST.split("\n").find((text) => text.trim().startsWith(id(root.vendorId)));
    const words = line?.trim().split(" ").slice(1) ?? [];
    const found = words.find((word) =>
      [id(root.deviceId), `${id(root.deviceId)}*`, "any"].includes(word),
    );
    if (found === undefined || (found.endsWith("*") && !isOne)) return "no";
    if (/:00\.0$/.test(root.address)) return "yes";
    return this.#machine.isCut ? "unknown" : root.kind === "root" ? "yes" : "no";
  }

  /** Of the functions on the way those with a link above them; of those the slowest, if all are known. */
  #slowest(way: DescribedFunction[]): string | null {
    const links = way
      .map((fn) => (fn.of === null ? fn : this.#find(fn.of)))
      .filter((fn) => fn.parent !== null && !["root", "down", "integrated"].includes(fn.kind));
    const isBridge = ({ kind }: DescribedFunction): boolean => ["up", "pci-bridge"].includes(kind);
    const isKnown = (fn: DescribedFunction): boolean =>
      fn.link !== null && fn.kind !== "conventional" && !(this.#machine.isCut && isBridge(fn));
    if (links.length === 0 || !links.every(isKnown)) return null;
    // A port that could not be read may be an upstream port.
    if (this.#machine.isCut && way.some((fn) => fn.parent !== null && fn.kind === "down"))
      return null;
    const [slowest] = links
      .map((fn, index) => ({ fn, index, bandwidth: megabytes(fn.link!) }))
      .sort((a, b) => a.bandwidth - b.bandwidth || a.index - b.index);
    return `${slowest!.fn.address} ${Math.round(slowest!.bandwidth)}`;
  }
}

/** Of `05:03.1`: 3, and, as ARI has it, 19h; null for a function on another bus. */
function deviceNumber({ address }: DescribedFunction): number {
  return parseInt(address.split(":")[2]!, 16);
}

function functionNumber(beside: DescribedFunction, fn: DescribedFunction): number | null {
  const [bus, other] = [fn, beside].map(({ address }) => address.split(":")[1]);
  return bus === other ? deviceNumber(fn) * 8 + Number(fn.address.at(-1)) : null;
}

/** GT/s and lanes, of which 8b/10b leaves 80 %, 128b/130b 98.46 %, flits 94.53 %. */
function megabytes({ speed, width }: { speed: number; width: number }): number {
  const gigabits: Record<number, number> = {
    2.5: 2,
    5: 4,
    8: 1024 / 130,
    16: 2048 / 130,
    32: 4096 / 130,
  };
  return ((gigabits[speed] ?? (64 * 242) / 256) * width * 1000) / 8;
}
