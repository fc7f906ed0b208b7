/** Takes every step, also after one has failed; the first failure is thrown at the end. */
export function tryAll(steps: Iterable<() => void>): void {
  const failures: unknown[] = [];
  for (const step of steps)
    try {
      step();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}

/** The same of steps that are awaited, one after the other. */
export async function tryAllInTurn(steps: Iterable<() => void | Promise<void>>): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps)
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}

/** Waits for all of them, also after one has failed; the first failure is thrown at the end. */
export async function allSettled(promises: Iterable<Promise<void>>): Promise<void> {
  for (const result of await Promise.allSettled(promises))
    if (result.status === "rejected") throw result.reason;
}
