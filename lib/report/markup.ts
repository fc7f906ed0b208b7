/** Markup that is safe to put into a page as it is: made by {@link html} alone. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What a template may hold: text is escaped, nothing stands for null. */
export type Content = Markup | string | number | null | readonly Content[];

/**
 * A template of HTML or SVG. Whatever is put into it is escaped, in text and in attributes in double
 * quotes, unless it is markup already: names of jobs and models of devices are not to be trusted.
 */
export function html(parts: TemplateStringsArray, ...contents: readonly Content[]): Markup {
  return new Markup(
    parts.reduce((before, part, index) => before + write(contents[index - 1] ?? null) + part),
  );
}

/** Text as it is: of this package's own files, and of its dependencies'. */
export function verbatim(text: string): Markup {
  return new Markup(text);
}

/** Data for the page's script. A `<` could end the element that holds it. */
export function jsonData(data: unknown): Markup {
  return new Markup(JSON.stringify(data).replaceAll("<", "\\u003c"));
}

function write(content: Content): string {
  if (content === null) return "";
  if (content instanceof Markup) return content.toString();
  if (typeof content === "object") return content.map(write).join("");
  return escape(String(content));
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** What no HTML document may hold, such as NUL, becomes U+FFFD. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!).replace(CONTROL, "\u{fffd}");
}

const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;
