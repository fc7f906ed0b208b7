/** What the copies over soft-RoCE copy, and whereto; all in bytes. */

const MIB = 2 ** 20;

export interface Place {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/**
 * The source, of which all is copied at once, and parts of it to places of their own. soft-RoCE moves 5 to
 * 80 MiB a second under software emulation, and what is killed takes its time to be missed: a gigabyte, and
 * ten kills, are for P2PMEM_COPY_MIB=1024 P2PMEM_COPY_KILLS=10.
 */
export const MAIN: Place = {
  from: 0,
  to: 0,
  size: Number(process.env.P2PMEM_COPY_MIB ?? 32) * MIB,
};

/** How often a side is killed: the client, then the server, and so on. */
export const KILLS = Number(process.env.P2PMEM_COPY_KILLS ?? 2);

const WINDOW = 8 * MIB;
const PLACES = 4;

/** Of the rounds from 0 to KILLS, KILLS included: that one is of the port that goes down. */
export function windowOf(round: number): Place {
  return { from: (round % PLACES) * WINDOW, to: MAIN.size + round * WINDOW, size: WINDOW };
}

/** Back to the source's namespace, behind its own bytes. */
export const PULLED: Place = { from: 8 * MIB, to: MAIN.size, size: 8 * MIB };

/** What all of it may take on a busy machine, seconds. */
export const LIMIT_SECONDS = 400 + MAIN.size / MIB + 100 * KILLS;

/** Of either namespace. */
export const IMAGE_BYTES = windowOf(KILLS).to + WINDOW;
