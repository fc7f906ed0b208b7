import { randomInt } from "node:crypto";
import type { Verification } from "../../verify/inspect.js";
import type { VerifyMode } from "../point.js";
import { sampleVerification, type Verifier } from "./sample.js";

/** How the data of a copy are looked at, whoever copies. `seed`: see Marks. */
export interface CopyChecks {
  /** Overwrites the source with marks of this mode, which is never `memcmp`. */
  markSource(signal: AbortSignal, mode: VerifyMode, seed: number): Promise<void>;
  /** Overwrites the destination: what it had may be what the source has. */
  blotDestination(signal: AbortSignal, seed: number): Promise<void>;
  /** Looks at what the last sample wrote of the destination. */
  verify(signal: AbortSignal, mode: VerifyMode, seed: number): Promise<Verification>;
}

/** `mode`: null where nobody asked for it. */
export function copyVerifier(mode: VerifyMode | null, checks: CopyChecks): Verifier | null {
  if (mode === null) return null;
  // Another one for each sample: what an earlier one left must not pass.
  let seed = 0;
  return {
    prepare: (signal) => {
      seed = randomInt(2 ** 32);
      return mode === "memcmp"
        ? checks.blotDestination(signal, seed)
        : checks.markSource(signal, mode, seed);
    },
    check: async (signal) => sampleVerification(mode, await checks.verify(signal, mode, seed)),
  };
}
