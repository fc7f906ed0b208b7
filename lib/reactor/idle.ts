/** Empty polls after which to look at the clock and the stop flag: some 50 us. */
export const IDLE_POLLS = 8192;

/**
 * Empty polls after which to yield as well: some 500 us. No device that is at work is silent for so
 * long, but one that is simulated may be waiting for this processor. Earlier it would hand whole time
 * slices to strangers on a busy machine.
 */
export const YIELD_POLLS = 10 * IDLE_POLLS;
