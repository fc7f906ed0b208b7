import { StartGate } from "./start-gate.js";

/** Takes over what is closed when the engine has run, and gives it back. */
export type Open = <T extends { close(): void }>(resource: T) => T;

/**
 * Has an engine made, waits at the gate for the other jobs, and runs it. Whatever happens, the others
 * do not wait for this one, and what was opened is closed. `gate`: of a StartGate.
 */
export function runEngine<Outcome>(
  gate: SharedArrayBuffer,
  make: (open: Open) => { run(): Outcome },
): Outcome {
  const start = new StartGate(gate);
  const opened: { close(): void }[] = [];
  try {
    const engine = make((resource) => {
      opened.push(resource);
      return resource;
    });
    start.pass();
    return engine.run();
  } finally {
    start.open();
    for (const resource of opened.reverse()) resource.close();
  }
}
