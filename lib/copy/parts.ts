import type { Range } from "../extents/ranges.js";

/** What one job of a run does: some copy blocks of the range, one after the other. */
export interface Part {
  /** In copy blocks, from the start of the range. */
  first: number;
  blocks: number;
  /** Bytes of the part's last block. */
  lastBlockBytes: number;
}

/** Splits a range of `length` bytes among jobs, at borders of blocks; no more jobs than blocks. */
export function splitRange(length: number, bs: number, jobs: number): Part[] {
  const blocks = Math.ceil(length / bs);
  const border = (job: number): number => Math.floor((job * blocks) / jobs);
  return Array.from({ length: jobs }, (_, job) => {
    const [first, end] = [border(job), border(job + 1)];
    const lastBlockBytes = end === blocks ? length - (blocks - 1) * bs : bs;
    return { first, blocks: end - first, lastBlockBytes };
  });
}

/** Where in the range a job has been that has copied `bytes`, from the start of its part on. */
export function covered({ first, blocks, lastBlockBytes }: Part, bs: number, bytes: number): Range {
  const start = first * bs;
  return { start, end: start + Math.min(bytes, (blocks - 1) * bs + lastBlockBytes) };
}
