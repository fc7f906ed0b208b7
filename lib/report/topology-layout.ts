import { ROOT, type DeviceTree } from "./device-tree.js";

/** In the units of the drawing: pixels, where there is room for all of it. */
export const WIDTH = 400;
export const BOX_HEIGHT = 40;
/** Left of a box's text: the lines run there. */
export const GUTTER = 30;
const ROW_HEIGHT = 47;
const INDENT = 22;
const MARGIN = 4;
/** From a box's left edge to the line from which its children hang. */
const TRUNK = 13;
/** Between two legs side by side. */
const GAP = 5;

interface Box {
  place: string;
  left: number;
  top: number;
}

/** Where the boxes of a tree of devices lie, one below the other, and the lines between them. */
export class TopologyLayout {
  readonly boxes: Box[] = [];
  readonly #tree: DeviceTree;
  readonly #byPlace = new Map<string, Box>();

  constructor(tree: DeviceTree) {
    this.#tree = tree;
    this.#add(ROOT, 0);
  }

  get height(): number {
    return this.boxes.length * ROW_HEIGHT;
  }

  /** From each box to those below it. */
  get connectors(): string[] {
    return this.boxes.flatMap((box) =>
      this.#tree.below(box.place).map((child) => {
        const { left } = this.#box(child);
        return `M${box.left + TRUNK} ${box.top + BOX_HEIGHT}V${this.#middle(child)}H${left}`;
      }),
    );
  }

  /** A line along the connectors; `leg` of `legs` lines that may have stretches in common. */
  line(way: readonly string[], leg: number, legs: number): string {
    const shift = (leg - (legs - 1) / 2) * GAP;
    const [only] = way;
    if (only !== undefined && way.length === 1) return this.#loop(only, shift);
    return `M${this.#corners(way)
      .map(([x, y]) => `${x + shift} ${y + shift}`)
      .join("L")}`;
  }

  /** Out of a box and back into it. */
  #loop(place: string, shift: number): string {
    const { left } = this.#box(place);
    return `M${left + GUTTER - 8} ${this.#middle(place) - 9 + shift}h-8a9 9 0 0 0 0 18h6`;
  }

  /** Along the line below a bridge from child to child, and through the bridge's own box to go on up. */
  #corners(way: readonly string[]): [number, number][] {
    return way.flatMap((place, index): [number, number][] => {
      const [before, after] = [way[index - 1], way[index + 1]];
      const middle = this.#middle(place);
      const corners: [number, number][] = [];
      if (before !== undefined && this.#tree.isAbove(before, place))
        corners.push([this.#trunk(before), middle]);
      const isPassed = before !== undefined && after !== undefined && place !== ROOT;
      const isApex =
        isPassed && this.#tree.isAbove(place, before) && this.#tree.isAbove(place, after);
      if (!isApex) corners.push([this.#trunk(place), middle]);
      if (after !== undefined && this.#tree.isAbove(after, place))
        corners.push([this.#trunk(after), middle]);
      return corners;
    });
  }

  #add(place: string, depth: number): void {
    const top = this.boxes.length * ROW_HEIGHT + MARGIN;
    const box = { place, left: MARGIN + depth * INDENT, top };
    this.boxes.push(box);
    this.#byPlace.set(place, box);
    for (const child of this.#tree.below(place)) this.#add(child, depth + 1);
  }

  #box(place: string): Box {
    return this.#byPlace.get(place)!;
  }

  #middle(place: string): number {
    return this.#box(place).top + BOX_HEIGHT / 2;
  }

  #trunk(place: string): number {
    return this.#box(place).left + TRUNK;
  }
}
