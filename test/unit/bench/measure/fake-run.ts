import type { MeasureOptions, Measured } from "#lib/bench/measure/measure.js";
import { measure } from "#lib/bench/measure/measure.js";
import type { NoiseReading, NoiseSource } from "#lib/bench/measure/noise.js";
import type { Sample, Verifier } from "#lib/bench/measure/sample.js";
import type { BenchPoint } from "#lib/bench/point.js";
import { benchSample } from "../../../support/bench-point.js";

/** A machine with two processors on which nothing runs but what `disturb` adds for each second. */
export class FakeNoise implements NoiseSource {
  cpus = 2;
  load: number | null = 0.1;
  governor: string[] = ["performance"];
  /** Nanoseconds of each second that others run, and that the hypervisor takes. */
  others = 0;
  steal = 0;
  isKnown = true;
  #reading = { timeNs: 0, busyNs: 0, stealNs: 0, ownNs: 0 };

  pass(seconds: number): void {
    const { timeNs, busyNs, stealNs, ownNs } = this.#reading;
    this.#reading = {
      timeNs: timeNs + seconds * 1e9,
      busyNs: busyNs + seconds * (1e9 + this.others),
      stealNs: stealNs + seconds * this.steal,
      ownNs: ownNs + seconds * 1e9,
    };
  }

  read(): NoiseReading {
    return this.isKnown ? { ...this.#reading } : { ...this.#reading, busyNs: null, stealNs: null };
  }

  loadAverage(): number | null {
    return this.load;
  }

  governors(): string[] {
    return this.governor;
  }
}

export interface FakeRun extends Measured {
  /** What happened, in order: `p2p`, `limit`, `prepare p2p`, `check p2p`. */
  log: string[];
}

interface FakeOptions extends Partial<MeasureOptions> {
  /** A sample's figures: `turn` counts all samples, from 0. */
  sample?: (point: BenchPoint, turn: number) => Partial<Sample>;
  verifier?: (log: string[], point: BenchPoint) => Verifier;
  machine?: FakeNoise;
  limit?: boolean;
  warmUp?: (log: string[], point: BenchPoint) => Promise<void>;
}

/** Measures with samples that take a second of the fake clock each. */
export async function fakeRun(
  points: readonly BenchPoint[],
  options: FakeOptions = {},
): Promise<FakeRun> {
  const { sample, verifier, machine = new FakeNoise(), limit = false, ...others } = options;
  const { warmUp = () => Promise.resolve(), ...rest } = others;
  const log: string[] = [];
  let turn = 0;
  let now = 0;
  const measured = await measure(points, {
    open: (point) =>
      Promise.resolve({
        endpoints: { src: "a", dst: "b" },
        footprint: limit ? { range: 1 << 20, slots: 8 } : null,
        verifier: point.verify === null ? null : (verifier?.(log, point) ?? null),
        warmUp: () => warmUp(log, point),
        run: (signal, onProgress) => {
          log.push(point.path);
          now += 1000;
          machine.pass(1);
          onProgress(4096);
          signal.throwIfAborted();
          return Promise.resolve(benchSample(sample?.(point, turn++)));
        },
      }),
    openLimit: () => ({
      sample: () => {
        log.push("limit");
        return 8e6;
      },
      close: () => log.push("closed"),
    }),
    noise: machine,
    clock: () => now,
    histograms: false,
    signal: new AbortController().signal,
    ...rest,
  });
  return { ...measured, log };
}
