/**
 * Seconds of a point's I/Os before its first sample, which are not counted: until V8 has compiled what runs
 * for them, and the devices have touched their memory. A first sample without was half as fast.
 */
const WARM_UP = 0.1;

/** What a plan says of its length. */
interface Timed {
  runtime?: number | null | undefined;
  rampTime?: number | undefined;
}

/** The same for as long; it ends before where its work is done. */
export function warmUpOf<Plan extends Timed>(plan: Plan): Plan & { runtime: number } {
  return { ...plan, runtime: WARM_UP, rampTime: 0 };
}
