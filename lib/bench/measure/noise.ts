import type { Host } from "../../host/host.js";

/** CPU time so far, of all processors together, nanoseconds. */
export interface NoiseReading {
  timeNs: number;
  /** All that ran, this process with it; null: not known. */
  busyNs: number | null;
  /** What a hypervisor kept for others (steal); null: not known. */
  stealNs: number | null;
  /** This process, with all its threads. */
  ownNs: number;
}

/** Where noise is read, so that tests can make some. */
export interface NoiseSource {
  readonly cpus: number;
  read(): NoiseReading;
  /** Of the last minute; null: not known. */
  loadAverage(): number | null;
  /** How the clocks of the processors are governed, each kind once; none where nothing says so. */
  governors(): string[];
}

/** proc(5): /proc/stat counts in ticks of 1/sysconf(_SC_CLK_TCK) s, which is 100 on Linux. */
const TICK_NS = 1e7;

/** This machine's. */
export class HostNoise implements NoiseSource {
  readonly cpus: number;
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
    this.cpus = Math.max(1, (host.read("/proc/stat") ?? "").match(/^cpu\d+ /gm)?.length ?? 1);
  }

  read(): NoiseReading {
    const { user, system } = process.cpuUsage();
    const ticks = /^cpu +([\d ]+)$/m.exec(this.#host.read("/proc/stat") ?? "")?.[1];
    return {
      timeNs: Math.round(performance.now() * 1e6),
      ...(ticks === undefined ? { busyNs: null, stealNs: null } : cpuTime(ticks)),
      ownNs: (user + system) * 1000,
    };
  }

  loadAverage(): number | null {
    const text = this.#host.read("/proc/loadavg");
    return text === null ? null : parseFloat(text);
  }

  governors(): string[] {
    const root = "/sys/devices/system/cpu";
    const found = this.#host
      .list(root)
      .filter((name) => /^cpu\d+$/.test(name))
      .map((name) => this.#host.read(`${root}/${name}/cpufreq/scaling_governor`));
    return [...new Set(found.filter((name) => name !== null))];
  }
}

/** proc(5): user nice system idle iowait irq softirq steal guest guest_nice, guests counted as user. */
function cpuTime(ticks: string): { busyNs: number; stealNs: number } {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks
    .split(" ")
    .map(Number);
  return {
    busyNs: (user + nice + system + irq + softirq) * TICK_NS,
    stealNs: steal * TICK_NS,
  };
}

/** What disturbed a result's samples, added up over them. */
export class NoiseMeter {
  readonly #source: NoiseSource;
  #elapsedNs = 0;
  #stealNs: number | null = 0;
  #othersNs: number | null = 0;
  #samples = 0;

  constructor(source: NoiseSource) {
    this.#source = source;
  }

  async around<T>(run: () => Promise<T>): Promise<T> {
    const before = this.#source.read();
    const result = await run();
    const after = this.#source.read();
    const busy = difference(before.busyNs, after.busyNs);
    const steal = difference(before.stealNs, after.stealNs);
    this.#samples++;
    this.#elapsedNs += after.timeNs - before.timeNs;
    this.#othersNs =
      busy === null || this.#othersNs === null
        ? null
        : this.#othersNs + Math.max(0, busy - (after.ownNs - before.ownNs));
    this.#stealNs = steal === null || this.#stealNs === null ? null : this.#stealNs + steal;
    return result;
  }

  /** In parts of the time of all processors; null: not known, or too short to be seen in ticks. */
  get shares(): { steal: number | null; others: number | null } {
    const { cpus } = this.#source;
    const total = this.#elapsedNs * cpus;
    // Each reading is off by up to a tick for each processor, either way.
    const uncertain = TICK_NS * cpus * Math.sqrt(this.#samples);
    const share = (ns: number | null): number | null =>
      ns === null || total === 0 ? null : ns <= uncertain ? 0 : ns / total;
    return { steal: share(this.#stealNs), others: share(this.#othersNs) };
  }
}

function difference(before: number | null, after: number | null): number | null {
  return before === null || after === null ? null : after - before;
}
