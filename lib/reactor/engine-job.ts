/** What the jobs of all engines have in common. Numbers, handles and shared memory: cloneable. */
export interface EngineJob {
  /** The same I/Os before those that count; 0: none. */
  rampNs: number;
  /** After that nothing new is begun; null: the job has an end of its own. */
  runtimeNs: number | null;
  /** It ends when its work is done, too; without a runtime it always does. */
  endsWithWork?: boolean;
  /**
   * Lets another thread run after each poll that finds nothing, not after YIELD_POLLS of them alone: what it
   * waits for are threads of this machine, perhaps more than there are processors.
   */
  yieldsAtOnce?: boolean;
  /** From the begin of one I/O to that of the next, at least; 0: as fast as it goes. */
  spacingNs: number;
  recordsLatency: boolean;
  /** The processor to pin the thread to. */
  cpu: number | null;
  /** See ControlBlock. */
  control: SharedArrayBuffer;
  /** See StartGate: where the jobs of a run begin together. */
  gate: SharedArrayBuffer;
  /** The same between the ramp and what counts; the run's owner passes it, too. */
  rampGate: SharedArrayBuffer;
  /** epoch() of the owner, by whose clock the outcome's times are. */
  epoch: number;
}

/** Of a thread, nanoseconds. */
export interface CpuTime {
  userNs: number;
  systemNs: number;
}

/** What an engine needs of the thread that it runs on. */
export interface EngineThread {
  /** Lets another thread run, if one is waiting to. */
  yieldProcessor(): void;
  /** What the thread has used so far. */
  cpuTime(): CpuTime;
  /** The ramp is over, and nothing is in flight: returns when what counts may begin. */
  rampEnded(): void;
}

/** The blocks of a command, and what it was to do with them. */
export interface EngineCommand {
  command: "Read" | "Write" | "Copy";
  lba: number;
  blocks: number;
}

/** Why a job ended before its time. `queue`: which of the job's queues. */
export type EngineFailure =
  | ({ kind: "status"; queue: number; status: number } & EngineCommand)
  /** It took too long; the owner of the run knows what ended it. */
  | ({ kind: "timeout"; queue: number } & EngineCommand)
  | { kind: "fault"; queue: number; message: string; hint: string }
  /** The owner of the run knows why: it said so. */
  | { kind: "lost"; queue: number }
  /** What this side had to do for an I/O has failed: passing blocks on, or mapping memory. */
  | { kind: "error"; code: string; message: string; hint: string };

/** What an engine says of all that counted. */
export interface EngineOutcome {
  /** First submission and last completion, nanoseconds since the job's epoch. */
  beganNs: number;
  endedNs: number;
  /** Of that, the time in poll rounds that found something. */
  busyNs: number;
  /** What the thread used meanwhile. */
  cpu: CpuTime;
  failure: EngineFailure | null;
}
