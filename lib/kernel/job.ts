/** Where requests go: one of the job's files, by its index, and bytes from its start. */
export interface Place {
  file: number;
  offset: number;
}

/** Blocks from one place to another, round and round. */
export interface CopyWork {
  kind: "copy";
  source: Place;
  destination: Place;
  /** Of this thread's part. */
  blocks: number;
  /** Bytes of the part's last block. */
  lastBytes: number;
}

/** Reads, writes or both, of each target at once. */
export interface IoWork {
  kind: "io";
  /** `ios`: places for I/Os from there on. */
  targets: (Place & { ios: number })[];
  isRandom: boolean;
  /** Reads among a hundred I/Os. */
  readPercent: number;
}

/** Everything that a thread needs for its part of a run. Numbers and shared memory: cloneable. */
export interface KernelJob {
  /** Descriptors of files that are open with O_DIRECT. */
  files: number[];
  work: CopyWork | IoWork;
  /** I/Os or blocks in flight; of several targets, the same number for each, one target after the other. */
  slots: number;
  /** The memory of all slots, and the bytes from one to the next. */
  memoryId: number;
  stride: number;
  /** The kernel may pin the memory once for all. Not p2pmem: it allows no long pins there. */
  mayRegister: boolean;
  /** Bytes of an I/O. */
  ioBytes: number;
  /** What is completed before is not counted. */
  rampNs: number;
  /** After that nothing new is begun; null: `ios` end it. */
  runtimeNs: number | null;
  /** I/Os to begin once the ramp is over. */
  ios: number | null;
  /** Nanoseconds from one I/O to the next, at least; 0: as fast as it goes. */
  intervalNs: number;
  seed: number;
  /** The processor to pin the thread to. */
  cpu: number | null;
  /** Bytes of a Histogram each: of reads and writes; a copy's blocks count as reads. */
  readLatency: SharedArrayBuffer;
  writeLatency: SharedArrayBuffer;
  /** See ControlBlock (without queues) and StartGate. */
  control: SharedArrayBuffer;
  gate: SharedArrayBuffer;
}

/** A request that failed: `result` is what the kernel says, bytes or an errno, negated. */
export interface KernelFailure {
  isWrite: boolean;
  file: number;
  offset: number;
  length: number;
  result: number;
}

/** I/Os of one target. */
export interface TargetIos {
  reads: number;
  writes: number;
}

export interface KernelOutcome {
  /** Without the ramp. */
  ios: number;
  bytes: number;
  /** By target; none of a copy. */
  targets: TargetIos[];
  /** Bytes with those of the ramp. */
  allBytes: number;
  /** From the end of the ramp to the last completion. */
  runtimeNs: number;
  /** Of the thread, in that time; nanoseconds. */
  cpu: { userNs: number; systemNs: number };
  /** The kernel has pinned the memory once for all. */
  isRegistered: boolean;
  failure: KernelFailure | null;
}
