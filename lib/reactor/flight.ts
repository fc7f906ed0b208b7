/** A slot with nothing in flight has no queue. */
const NONE = -1;

/**
 * What a reactor has in flight, by slot. The commands of a slot go out together, on one of the
 * reactor's queues, so that one time stands for all of them. For the poll loop: nothing allocates.
 */
export class Flight {
  readonly slots: number;
  /** Commands in flight, of all slots. */
  commands = 0;
  readonly #remaining: Int32Array;
  readonly #queue: Int32Array;
  readonly #since: Float64Array;

  constructor(slots: number) {
    this.slots = slots;
    this.#remaining = new Int32Array(slots);
    this.#queue = new Int32Array(slots).fill(NONE);
    this.#since = new Float64Array(slots);
  }

  /** `commands` of `slot` have been submitted on the reactor's queue of that number. */
  begin(slot: number, queue: number, commands: number, time: number): void {
    this.#remaining[slot] = commands;
    this.#queue[slot] = queue;
    this.#since[slot] = time;
    this.commands += commands;
  }

  /** One command of `slot` has ended; true where that was its last. */
  end(slot: number): boolean {
    this.commands--;
    return --this.#remaining[slot]! === 0;
  }

  isIdle(slot: number): boolean {
    return this.#remaining[slot] === 0;
  }

  /** The queue on which `slot` has commands in flight, or had the last ones. */
  queueOf(slot: number): number {
    return this.#queue[slot]!;
  }

  /** A slot with commands on `queue` that were submitted before `time`; -1 where there is none. */
  findOlder(queue: number, time: number): number {
    for (let slot = 0; slot < this.slots; slot++)
      if (this.#remaining[slot]! > 0 && this.#queue[slot] === queue && this.#since[slot]! < time)
        return slot;
    return -1;
  }

  /** All that is in flight on `queue` counts as over; says how many commands that were. */
  drop(queue: number): number {
    let dropped = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#queue[slot] !== queue) continue;
      dropped += this.#remaining[slot]!;
      this.#remaining[slot] = 0;
    }
    this.commands -= dropped;
    return dropped;
  }
}
