import type { Measure } from "./plan.js";

/** As good as never: a message that takes so long is none whose latency a yield would change. */
const SELDOM = 8192;

/**
 * Waits in vain in a row, of about a microsecond, after which each lets another thread have the processor.
 * `isSoft`: no hardware is behind the device; `packets`: of a message.
 */
export function yieldAfterOf(
  device: { isLoopback: boolean; isSoft: boolean },
  { measure, packets }: { measure: Measure; packets: number },
): number {
  // The loopback machine's devices are a thread, which waits for a processor.
  if (device.isLoopback) return 0;
  // Behind soft-RoCE there are the kernel's, which get one by themselves: yielding costs a quarter of the
  // bandwidth. Only a message of several packets, which wakes them for each, is there sooner for it.
  return device.isSoft && measure === "lat" && packets > 1 ? 0 : SELDOM;
}
