/** perftest's tools and `p2pmem rdma`, which takes their options and prints their columns. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { bin } from "./command.js";
import { waitUntilListening } from "./listening.js";

export interface Measurement {
  verb: "write" | "read" | "send";
  what: "bw" | "lat";
  /** In perftest's form; the same for both ends. */
  options: readonly string[];
}

/** A program and the arguments that come before perftest's options. */
export type Tool = (measurement: Measurement) => readonly [string, ...string[]];

export const perftest: Tool = ({ verb, what }) => [`ib_${verb}_${what}`];
export const p2pmem: Tool = ({ verb, what }) => [process.execPath, bin, "rdma", verb, what];

/** The table that a client prints. */
export interface Table {
  /** As printed, with single spaces. */
  header: string;
  rows: number[][];
}

/** Columns of the tables, by their places. */
export const COLUMN = {
  bytes: 0,
  iterations: 1,
  bandwidth: { peak: 2, average: 3, messageRate: 4 },
  latency: { min: 2, max: 3, typical: 4, average: 5, stdev: 6, p99: 7, p999: 8 },
} as const;

export function readTable(printed: string): Table {
  const lines = printed.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
  const at = lines.findIndex((line) => line.startsWith("#bytes"));
  assert.ok(at >= 0, `no table in: ${printed}`);
  const below = lines.slice(at + 1);
  const end = below.findIndex((line) => !/^\d/.test(line));
  const rows = below.slice(0, end < 0 ? undefined : end).map((line) => line.split(" ").map(Number));
  return { header: lines[at]!, rows };
}

interface Side {
  child: ChildProcess;
  /** What it printed, once it has ended with an exit code of 0. */
  done: Promise<string>;
}

function start([command, ...before]: readonly [string, ...string[]], args: string[]): Side {
  const child = spawn(command, [...before, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const done = once(child, "close").then(([code]) => {
    assert.equal(code, 0, `${command} ${[...before, ...args].join(" ")}: ${output}`);
    return output;
  });
  // Its failure is told where it is waited for, which may be later.
  done.catch(() => undefined);
  return { child, done };
}

/** perftest's default is 18515; one that has just been used may still be taken. */
let nextPort = 18_600;

/** A server and a client at work on this machine. */
export interface Pair {
  /** What the client printed, once both have ended with an exit code of 0. */
  readonly printed: Promise<string>;
  /** The client has ended, or failed. */
  isOver(): boolean;
  /** Both stand still until they are resumed. What the kernel does for them goes on. */
  halt(): void;
  resume(): void;
  kill(): void;
}

/** The two may be different tools only as far as these understand each other. */
export async function startPair(
  measurement: Measurement,
  client: Tool,
  server: Tool = client,
): Promise<Pair> {
  const port = nextPort++;
  const options = [...measurement.options, "-p", `${port}`];
  const sides = [start(server(measurement), options)];
  const signal = (name: NodeJS.Signals) => (): void => {
    for (const { child } of sides) child.kill(name);
  };
  try {
    const [listening] = sides as [Side];
    // A server that ends early says why.
    await Promise.race([waitUntilListening(port, listening.child), listening.done]);
    const other = start(client(measurement), [...options, "127.0.0.1"]);
    sides.push(other);
    // Of two that fail, the one that failed first says why.
    const printed = Promise.all([other.done, listening.done]).then(([text]) => text);
    printed.catch(() => undefined);
    const { child } = other;
    return {
      printed,
      isOver: () => child.exitCode !== null || child.signalCode !== null,
      halt: signal("SIGSTOP"),
      resume: signal("SIGCONT"),
      kill: signal("SIGKILL"),
    };
  } catch (error) {
    signal("SIGKILL")();
    throw error;
  }
}

/**
 * perftest's tools measure the processor's clock for their report, and end with exit code 1 where what they
 * see fits no line (get_clock.c), as it may where the machine is a virtual one whose processors were
 * taken away meanwhile. That says nothing of what was measured: it is measured again.
 */
const CLOCK_NOT_MEASURED = /Correlation coefficient r\^2/;
const ATTEMPTS = 5;

export async function untilReported<T>(measure: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await measure();
    } catch (error) {
      if (attempt === ATTEMPTS || !CLOCK_NOT_MEASURED.test(String(error))) throw error;
    }
}

/** Runs them to their ends; what the client printed. */
export async function runPair(...of: Parameters<typeof startPair>): Promise<string> {
  return untilReported(async () => {
    const pair = await startPair(...of);
    try {
      return await pair.printed;
    } finally {
      pair.kill();
    }
  });
}
