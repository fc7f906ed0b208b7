import type { RdmaTest } from "./plan.js";

export const PAGE = 4096;

/** Where a side's messages lie in its memory. The same on both sides, which know each other's by it. */
export interface Layout {
  /** From one message's memory to the next. */
  readonly stride: number;
  /** Of all of it. */
  readonly bytes: number;
  /** Where lane `index` sends from, and where reads of it go to and come from. */
  sendOffset(index: number): number;
  /** Where it receives, and where the other side writes. */
  receiveOffset(index: number): number;
}

export function layoutOf({ sizes, queuePairs }: RdmaTest): Layout {
  const stride = Math.ceil(Math.max(...sizes) / PAGE) * PAGE;
  return {
    stride,
    bytes: 2 * queuePairs * stride,
    sendOffset: (index) => index * stride,
    receiveOffset: (index) => (queuePairs + index) * stride,
  };
}
