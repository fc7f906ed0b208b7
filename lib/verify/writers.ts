/**
 * From which slot each I/O of a range was last written: 0 where none was, else the slot's number and 1,
 * or {@link MANY}: more than once. Of those nobody knows which was the last, since two may be in flight
 * together.
 */
export type Writers = Uint16Array;

export const MANY = 0xffff;
/** Slots of a run that can be told apart. */
export const MOST_SLOTS = MANY - 1;

/** `mark`: the slot's number and 1. For the poll loop. */
export function recordWrite(writers: Writers, io: number, mark: number): void {
  writers[io] = writers[io] === 0 ? mark : MANY;
}

/** Of several threads that wrote the same range, each with a record of its own. */
export function mergeWriters(parts: readonly Writers[]): Writers {
  const [first, ...rest] = parts;
  if (first === undefined || rest.length === 0) return first ?? new Uint16Array();
  const all = first.slice();
  for (const part of rest)
    for (const [io, mark] of part.entries()) if (mark !== 0) all[io] = all[io] === 0 ? mark : MANY;
  return all;
}
