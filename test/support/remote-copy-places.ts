/** What the copies over soft-RoCE copy, and whereto; all in bytes. */

const MIB = 2 ** 20;

export interface Place {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/**
 * The source, of which all is copied at once, and parts of it to places of their own. soft-RoCE moves 20 to
 * 80 MiB a second under software emulation: a gigabyte is for P2PMEM_COPY_MIB=1024.
 */
export const MAIN: Place = {
  from: 0,
  to: 0,
  size: Number(process.env.P2PMEM_COPY_MIB ?? 256) * MIB,
};

/** How often a side is killed. */
export const KILLS = 10;

const WINDOW = 24 * MIB;

/** Of the rounds from 0 to KILLS, KILLS included. */
export function windowOf(round: number): Place {
  return { from: round * WINDOW, to: MAIN.size + round * WINDOW, size: WINDOW };
}

/** Back to the source's namespace, behind its own bytes. */
export const PULLED: Place = { from: 16 * MIB, to: MAIN.size, size: 16 * MIB };

/** Of either namespace. */
export const IMAGE_BYTES = windowOf(KILLS).to + WINDOW;
