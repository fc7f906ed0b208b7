import { randomFillSync } from "node:crypto";
import { addon, type NativeMemory } from "../addon.js";
import { covered, splitRange, type Part } from "../copy/parts.js";
import type { Range } from "../extents/ranges.js";
import type { Host } from "../host/host.js";
import { EngineJobs } from "../io/engine-jobs.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciTree } from "../pci/tree.js";
import { isRandom } from "../perf/plan.js";
import { Random } from "../perf/random.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import { tryAll } from "../try-all.js";
import { checkRanges, type CheckedRange } from "./check.js";
import type { CopyWork, IoWork, KernelJob } from "./job.js";
import { readPercent, readsSources, writesSources, type KernelPlan } from "./plan.js";
import { proveKernelPath } from "./proof.js";
import { allocateFromKernel, findKernelProvider, parseKernelProvider } from "./provider.js";
import { openTarget, type KernelTarget } from "./target.js";

const PAGE = 4096;

/** One thread's part of a run, and what its owner reads when it is over. */
export interface KernelThread {
  job: KernelJob;
  control: ControlBlock;
  reads: Histogram;
  writes: Histogram;
}

/** The files and the memory of one run, and the jobs that describe them to its threads. */
export class KernelSetup {
  readonly jobs: EngineJobs;
  readonly notes: string[] = [];
  readonly #host: Host;
  readonly #tree: PciTree;
  readonly #plan: KernelPlan;
  readonly #closers: (() => void)[] = [];
  #ranges: CheckedRange[] = [];
  #parts: Part[] = [];
  #provider: Bdf | null = null;

  constructor(host: Host, tree: PciTree, plan: KernelPlan) {
    this.#host = host;
    this.#tree = tree;
    this.#plan = plan;
    const { numjobs, runtime, rampTime, rateIops, cpusAllowed, timeBased = true } = plan;
    const run = { rampTime, rateIops, cpus: cpusAllowed, timeBased };
    this.jobs = new EngineJobs(run, numjobs, runtime);
  }

  /** The parts of the sources, then of the destination. */
  get ranges(): readonly CheckedRange[] {
    return this.#ranges;
  }

  /** Whose p2pmem is used; null: ordinary memory is. */
  get provider(): Bdf | null {
    return this.#provider;
  }

  /**
   * Opens the targets, gets the memory, and proves it. Errors: those of openTarget(), checkRanges(),
   * allocateFromKernel() and proveKernelPath().
   */
  async openThreads(): Promise<KernelThread[]> {
    const plan = this.#plan;
    await this.#openTargets();
    const memories = Array.from({ length: plan.numjobs }, () => this.#openMemory());
    if (this.#provider !== null) this.#prove(this.#provider, memories[0]!);
    if (plan.rw === "copy")
      this.#parts = splitRange(this.#ranges[0]!.length, plan.bs, plan.numjobs);
    return memories.map((memory, index) => this.#thread(memory, index));
  }

  /** Where in a copy's range each thread has been that has copied so many bytes, from its begin on. */
  covered(bytes: readonly number[]): Range[] | null {
    if (this.#plan.rw !== "copy") return null;
    return this.#parts.map((part, index) => covered(part, this.#plan.bs, bytes[index]!));
  }

  /** When no thread runs any more. */
  close(): void {
    tryAll(this.#closers.splice(0).reverse());
  }

  async #openTargets(): Promise<void> {
    const { sources, destination } = this.#plan;
    const claimed = new Set<string>();
    const endpoints = [
      ...sources.map((endpoint) => ({ endpoint, isWritten: writesSources(this.#plan) })),
      ...(destination === null ? [] : [{ endpoint: destination, isWritten: true }]),
    ];
    const targets: KernelTarget[] = [];
    for (const { endpoint, isWritten } of endpoints) {
      const target = await openTarget(this.#host, this.#tree, endpoint, isWritten, claimed);
      this.#closers.push(() => {
        target.close();
      });
      this.notes.push(...target.notes);
      targets.push(target);
    }
    this.#ranges = checkRanges(this.#plan, targets);
  }

  #openMemory(): NativeMemory {
    const { path, provider, bs, rw } = this.#plan;
    const size = this.#slots * strideOf(bs);
    let memory: NativeMemory;
    if (path === "kernel-host") memory = addon().allocatePinned(size, true);
    else {
      const clients = this.#ranges.flatMap(({ target }) => target.clients);
      this.#provider ??=
        provider === null
          ? findKernelProvider(this.#host, this.#tree, clients)
          : parseKernelProvider(provider);
      memory = allocateFromKernel(this.#host, this.#tree, this.#provider, size);
    }
    this.#closers.push(() => {
      memory.close();
    });
    // What is written should not be easier to store than other data.
    if (rw !== "copy" && writesSources(this.#plan)) fillRandomly(memory);
    return memory;
  }

  get #slots(): number {
    return this.#plan.iodepth * this.#plan.sources.length;
  }

  /** The threads' memory is of one pool: what holds of the first, whose data go the same way, holds of all. */
  #prove(provider: Bdf, memory: NativeMemory): void {
    const isCopy = this.#plan.rw === "copy";
    for (const [index, { target, offset, length }] of this.#ranges.entries()) {
      const isSource = !isCopy || index === 0;
      proveKernelPath(this.#tree, provider, memory, {
        ...{ target, offset, length },
        isRead: isSource && readsSources(this.#plan),
        isWritten: isSource ? writesSources(this.#plan) : true,
      });
    }
  }

  #thread(memory: NativeMemory, index: number): KernelThread {
    const { bs, randseed, path } = this.#plan;
    const reads = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
    const writes = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
    const control = ControlBlock.create(0);
    const job: KernelJob = {
      ...this.jobs.open(index, control),
      files: this.#ranges.map(({ target }) => target.fd),
      work: this.#workOf(index),
      slots: this.#slots,
      memoryId: memory.id,
      stride: strideOf(bs),
      mayRegister: path === "kernel-host",
      ioBytes: bs,
      seed: new Random(randseed + index).next(),
      readLatency: reads.buffer as SharedArrayBuffer,
      writeLatency: writes.buffer as SharedArrayBuffer,
    };
    return { job, control, reads, writes };
  }

  /** What one thread does. */
  #workOf(index: number): CopyWork | IoWork {
    const { rw, bs, rwmixread, numjobs, loops } = this.#plan;
    if (rw === "copy") {
      const { first, blocks, lastBlockBytes } = this.#parts[index]!;
      const [source, destination] = this.#ranges.map(({ offset }, file) => ({
        file,
        offset: offset + first * bs,
      }));
      return {
        kind: "copy",
        source: source!,
        destination: destination!,
        blocks,
        lastBytes: lastBlockBytes,
        work: loops * blocks,
      };
    }
    const part = (of: number): [first: number, count: number] => {
      const first = Math.floor((of * index) / numjobs);
      return [first, Math.floor((of * (index + 1)) / numjobs) - first];
    };
    const targets = this.#ranges.map(({ offset, length }, file) => {
      const all = Math.floor(length / bs);
      // Random I/O of all threads goes everywhere; of sequential I/O each has a part of the range.
      if (isRandom(rw)) return { file, offset, ios: all, work: part(loops * all)[1] };
      const [first, ios] = part(all);
      return { file, offset: offset + first * bs, ios, work: loops * ios };
    });
    const percent = readPercent(rw, rwmixread);
    return { kind: "io", targets, isRandom: isRandom(rw), readPercent: percent };
  }
}

/** Slots begin at pages: of those the kernel makes the requests' segments. */
function strideOf(bs: number): number {
  return Math.ceil(bs / PAGE) * PAGE;
}

/** Peer memory takes no stores of bytes. */
function fillRandomly(memory: NativeMemory): void {
  if (memory.kind === "host") {
    randomFillSync(new Uint8Array(memory.buffer));
    return;
  }
  const filler = addon().allocatePinned(memory.size, false);
  try {
    randomFillSync(new Uint8Array(filler.buffer));
    addon().copy(memory, 0, filler, 0, memory.size);
  } finally {
    filler.close();
  }
}
