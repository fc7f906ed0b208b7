/** Has the reactors of one run begin together: a thread may take longer to start than a run lasts. */
export class StartGate {
  readonly buffer: SharedArrayBuffer;
  readonly #missing: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#missing = new Int32Array(buffer);
  }

  static create(reactors: number): StartGate {
    const gate = new StartGate(new SharedArrayBuffer(4));
    gate.#missing[0] = reactors;
    return gate;
  }

  /** Waits until all have come, on a thread that may block. */
  pass(): void {
    if (Atomics.sub(this.#missing, 0, 1) <= 1) Atomics.notify(this.#missing, 0);
    for (;;) {
      const missing = Atomics.load(this.#missing, 0);
      if (missing <= 0) return;
      Atomics.wait(this.#missing, 0, missing);
    }
  }

  /** How many are still to come; 0 once all may pass. */
  get missing(): number {
    return Math.max(0, Atomics.load(this.#missing, 0));
  }

  /** One will not come: the others wait no longer. Harmless once all have passed. */
  open(): void {
    Atomics.store(this.#missing, 0, 0);
    Atomics.notify(this.#missing, 0);
  }
}
