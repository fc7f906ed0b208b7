/**
 * Has the clock of engines stand still but for the looks at it while `act` runs on this thread, so that a
 * machine that keeps the thread from running makes nothing late. `look`: nanoseconds that each of them
 * takes. `pass`: so much time passes at once.
 */
export function withFakeClock<T>(look: number, act: (pass: (ns: number) => void) => T): T {
  const real = process.hrtime.bigint.bind(process.hrtime);
  let time = real();
  process.hrtime.bigint = () => (time += BigInt(look));
  try {
    return act((ns) => {
      time += BigInt(ns);
    });
  } finally {
    process.hrtime.bigint = real;
  }
}
