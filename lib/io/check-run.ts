import { addon } from "../addon.js";
import { P2pError } from "../errors.js";
import { REGISTRATIONS, type RunPlan } from "./run-plan.js";

/** What can be wrong with what all plans say of their runs. Errors: BAD_ARGUMENT. */
export function checkRun(plan: RunPlan): void {
  const { jobs = 1, loops = 1, rampTime = 0, rateIops = null, registration = "once" } = plan;
  for (const [what, count] of [
    ["jobs", jobs],
    ["loops", loops],
  ] as const)
    if (!Number.isSafeInteger(count) || count < 1)
      throw new P2pError("BAD_ARGUMENT", `${what} must be 1 or more, not ${count}`);
  if (!(rampTime >= 0 && rampTime < Infinity))
    throw new P2pError("BAD_ARGUMENT", `the ramp time must be 0 seconds or more, not ${rampTime}`);
  if (rateIops !== null && !(rateIops > 0 && rateIops < Infinity))
    throw new P2pError("BAD_ARGUMENT", `the rate must be above 0 a second, not ${rateIops}`, {
      hint: "leave it out, to go as fast as it goes",
    });
  if (!REGISTRATIONS.includes(registration))
    throw new P2pError("BAD_ARGUMENT", `there is no registration "${registration as string}"`, {
      hint: `there are ${REGISTRATIONS.join(", ")}`,
    });
  checkCpus(plan.cpus ?? []);
}

/** Errors: BAD_ARGUMENT. */
export function checkCpus(cpus: readonly number[]): void {
  if (cpus.length === 0) return;
  const usable = addon().threadAffinity();
  const missing = cpus.find((cpu) => !usable.includes(cpu));
  if (missing === undefined) return;
  throw new P2pError("BAD_ARGUMENT", `this process cannot run on CPU ${missing}`, {
    hint: `it can on ${usable.join(", ")}`,
    parameter: "cpus_allowed",
  });
}
