import { wrapWords } from "../text.js";

/** The longest name that a table shows: a provider that is a part of a BAR. */
const LONGEST = 24;

/** Names of endpoints and providers as tables show them; what is too long gets a number and a line below. */
export class ShortNames {
  readonly #numbers = new Map<string, string>();

  of(name: string): string {
    // Every domain but 0000 is rare enough to be shown.
    const short = name.replaceAll(/(?<=^|,)0000:/g, "");
    if (short.length <= LONGEST) return short;
    const number = this.#numbers.get(name) ?? `#${this.#numbers.size + 1}`;
    this.#numbers.set(name, number);
    return number;
  }

  /** Lines that say what the numbers stand for. */
  legend(indent: string): string[] {
    return [...this.#numbers].flatMap(([name, number]) =>
      wrapWords(`${number} is ${name}`, indent, indent),
    );
  }
}
