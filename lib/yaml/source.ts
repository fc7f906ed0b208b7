import { readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, parseDocument, visit, type Document, type Node } from "yaml";
import { P2pError, type P2pErrorDetails } from "../errors.js";
import { fieldName, type Field } from "./field.js";

/** What is said of every mistake in files of one kind. */
export interface FileKind {
  /** `machine file` */
  name: string;
  /** Of its errors. */
  code: string;
  /** What describes the format. */
  document: string;
}

/** A YAML file that people write, and where its fields are, so that mistakes are shown in place. */
export class YamlSource {
  /** What it says; not checked yet. */
  readonly content: unknown;
  readonly #file: string;
  readonly #kind: FileKind;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;

  /** Errors: the kind's code, where it is no YAML or refers to itself without end. */
  constructor(file: string, text: string, kind: FileKind) {
    this.#file = file;
    this.#kind = kind;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const [broken] = this.#document.errors;
    if (broken) throw this.#mistakeAt(broken.pos[0], broken.message);
    try {
      this.#refuseCycles();
      this.content = this.#document.toJS();
    } catch (cause) {
      if (cause instanceof P2pError) throw cause;
      throw this.#mistakeAt(0, (cause as Error).message); // aliases that lead nowhere, or explode
    }
  }

  /** The same of a file. `hint`: for one that cannot be read. Errors: the kind's code. */
  static read(file: string, kind: FileKind, hint: string): YamlSource {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (cause) {
      const { errno, code } = cause as NodeJS.ErrnoException;
      throw new P2pError(kind.code, `cannot read the ${kind.name} ${file}: ${code}`, {
        ...(errno === undefined ? {} : { errno: -errno }),
        syscall: "open",
        hint,
        cause,
      });
    }
    return new YamlSource(file, text, kind);
  }

  /** An error of the kind's code, with file, line and field. */
  mistake(field: Field, what: string, details: P2pErrorDetails = {}): P2pError {
    const name = fieldName(field) || "the file";
    return this.#mistakeAt(offsetOf(this.#document, field), `${name}: ${what}`, details);
  }

  #mistakeAt(offset: number, what: string, details: P2pErrorDetails = {}): P2pError {
    const { line } = this.#lines.linePos(offset);
    const message = `${this.#file}:${line}: ${what.split("\n")[0] ?? ""}`;
    return new P2pError(this.#kind.code, message, {
      hint: `${this.#kind.document} describes the format`,
      ...details,
    });
  }

  /**
   * YAML allows a collection that contains an alias of itself. Since an anchor stands before its
   * aliases, there is a cycle exactly where an alias names one of the nodes that it is in.
   */
  #refuseCycles(): void {
    visit(this.#document, {
      Alias: (_key, alias, path) => {
        const target = alias.resolve(this.#document);
        if (target !== undefined && (path as readonly unknown[]).includes(target))
          throw this.#mistakeAt(
            alias.range?.[0] ?? 0,
            `*${alias.source} is part of what it refers to, which has no end`,
          );
      },
    });
  }
}

/** Where the field starts in the text: its key, else (a key that is missing) what should have it. */
function offsetOf(document: Document, field: Field): number {
  for (let depth = field.length; depth > 0; depth--) {
    const parent =
      depth === 1 ? document.contents : document.getIn(field.slice(0, depth - 1), true);
    const key = field[depth - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === key);
      if (isScalar(pair?.key)) return pair.key.range?.[0] ?? 0;
    }
    const node = document.getIn(field.slice(0, depth), true) as Node | undefined;
    if (node?.range) return node.range[0];
  }
  return 0;
}
