/** `p2pmem serve` in a process of its own. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { start, type CommandResult } from "./command.js";

/** A line of its JSON. */
interface Served {
  event: string;
  url?: string;
  error?: { code: string } | null;
}

export class Serving {
  readonly child: ChildProcess;
  readonly done: Promise<CommandResult>;
  /** What it serves. */
  url = "";
  readonly #lines: Interface;
  readonly #events: Served[] = [];
  #heard: (() => void) | undefined;

  /** Resolves when clients may come. Errors: of the assertion, with what it said where it ended. */
  static async start(...args: string[]): Promise<Serving> {
    const serving = new Serving(args);
    serving.url = (await serving.next("served")).url!;
    return serving;
  }

  private constructor(args: string[]) {
    const { child, done } = start("serve", ...args, "--output-format", "json");
    this.child = child;
    this.done = done;
    this.#lines = createInterface({ input: child.stdout! });
    this.#lines.on("line", (line) => {
      this.#events.push(JSON.parse(line) as Served);
      this.#heard?.();
    });
    void done.then(() => this.#heard?.());
  }

  /** The next one of this kind; those before it are forgotten. */
  async next(kind: string): Promise<Served> {
    for (;;) {
      const event = this.#events.shift();
      if (event?.event === kind) return event;
      if (event !== undefined) continue;
      if (this.child.exitCode !== null) assert.fail((await this.done).stderr);
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
  }

  async stop(signal: NodeJS.Signals): Promise<CommandResult> {
    this.child.kill(signal);
    return this.done;
  }
}
