import type { DeviceReport } from "../bench/report.js";

/** Places of a machine that have no PCI address. */
export const ROOT = "root complex";
export const HOST_MEMORY = "host memory";

/** The devices of a report by what is above them: below the root complex, as host memory is. */
export class DeviceTree {
  readonly #devices: ReadonlyMap<string, DeviceReport>;
  readonly #parents = new Map<string, string>([[HOST_MEMORY, ROOT]]);
  readonly #children = new Map<string, string[]>([[ROOT, [HOST_MEMORY]]]);

  constructor(devices: readonly DeviceReport[]) {
    this.#devices = new Map(devices.map((device) => [device.address.toLowerCase(), device]));
    for (const place of this.#devices.keys()) {
      const parent = this.#above(place);
      this.#parents.set(place, parent);
      this.#children.set(parent, [...(this.#children.get(parent) ?? []), place]);
    }
  }

  has(place: string): boolean {
    return this.#parents.has(place);
  }

  device(place: string): DeviceReport | null {
    return this.#devices.get(place) ?? null;
  }

  below(place: string): readonly string[] {
    return this.#children.get(place) ?? [];
  }

  isAbove(place: string, other: string): boolean {
    return this.#parents.get(other) === place;
  }

  /**
   * All that is passed from one place to another, both included: up to what is above both, or where
   * the route climbs, up to the root complex. Null where the route does not say.
   */
  way(from: string, to: string, route: string): string[] | null {
    if (route === "internal") return [from];
    if (route !== "direct" && route !== "root") return null;
    const up = this.#lineage(from);
    const down = this.#lineage(to);
    const common = route === "root" ? ROOT : up.find((place) => down.includes(place))!;
    return [
      ...up.slice(0, up.indexOf(common) + 1),
      ...down.slice(0, down.indexOf(common)).reverse(),
    ];
  }

  /** A bridge that the report leaves out is passed over, and so is one that is its own ancestor. */
  #above(place: string): string {
    const parent = this.#parentOf(place);
    if (parent === null) return ROOT;
    const passed = new Set([place]);
    for (let above: string | null = parent; above !== null; above = this.#parentOf(above)) {
      if (passed.has(above)) return ROOT;
      passed.add(above);
    }
    return parent;
  }

  #parentOf(place: string): string | null {
    const parent = this.#devices.get(place)?.parent?.toLowerCase();
    return parent !== undefined && this.#devices.has(parent) ? parent : null;
  }

  /** The devices on the way from any of these places up to the root complex. */
  devicesAbove(places: readonly string[]): DeviceReport[] {
    const wanted = new Set(places.flatMap((place) => this.#lineage(place)));
    return [...this.#devices].flatMap(([place, device]) => (wanted.has(place) ? [device] : []));
  }

  /** It and all above it, up to the root complex. */
  #lineage(place: string): string[] {
    const parent = this.#parents.get(place);
    return parent === undefined ? [place] : [place, ...this.#lineage(parent)];
  }
}
