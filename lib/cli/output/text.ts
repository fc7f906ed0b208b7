/** Columns of a terminal that everything fits. */
export const WIDTH = 100;

/**
 * Parts, joined by `separator`, in as many lines as that takes: the first begins with `first`, the
 * others with `rest`. A part that is too long for a line has one to itself.
 */
export function wrap(
  parts: readonly string[],
  { first, rest, separator }: { first: string; rest: string; separator: string },
): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const [index, part] of parts.entries()) {
    const text = index === parts.length - 1 ? part : part + separator.trimEnd();
    const gap = empty ? "" : separator.slice(separator.trimEnd().length);
    if (!empty && line.length + gap.length + text.length > WIDTH) {
      lines.push(line);
      line = rest + text;
    } else line += gap + text;
    empty = false;
  }
  return [...lines, line];
}

/** A sentence, broken between words. */
export function wrapWords(text: string, first: string, rest: string): string[] {
  return wrap(text.split(" "), { first, rest, separator: " " });
}
