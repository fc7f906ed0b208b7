/** Clients of a copy server that are broken, or mean harm, from the greeting on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { Connection } from "#lib/exchange/connection.js";
import { parseExport } from "#lib/remote/exports.js";
import type { Machine } from "#lib/remote/machine.js";
import * as protocol from "#lib/remote/protocol.js";
import { Server, type ServerEvent } from "#lib/remote/server.js";
import type { StreamOffer } from "#lib/stream/offer.js";
import { HOST, PATIENT } from "./exchange.js";
import { reset } from "./reset.js";

const BS = 4096;
type Message = Record<string, unknown>;

/** How far a client behaves: it has said so many of open, plan, offer and a report. */
const STAGES = ["greeted", "open", "plan", "offer", "report"] as const;

interface Conduct {
  access: "read" | "write";
  verify: boolean;
  stage: number;
  harm: Harm;
  leave: "end" | "vanish";
}

type Harm =
  | { kind: "bytes"; bytes: Uint8Array | string }
  /** What is due, but for one field. */
  | { kind: "field"; field: number; value: unknown; isMissing: boolean }
  /** What is due at another time. */
  | { kind: "order"; message: number; times: number }
  | { kind: "silence" };

const value = fc.oneof(
  fc.nat(70_000),
  fc.maxSafeNat(),
  fc.constantFrom<unknown>(
    ...[null, true, "", [], {}, 0, -1, 1.5, 1e308, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)],
    ...["\u001b[2J\u202e", "x".repeat(5000), "../../etc/passwd", "0", "18446744073709551616"],
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

const bytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 2000 }),
  fc.json({ maxDepth: 12 }).map((line) => `${line}\n`),
  fc.integer({ min: 1, max: 200_000 }).map((length) => `"${"x".repeat(length)}"\n`),
  fc.nat(9000).map((depth) => `${'{"a":'.repeat(depth)}\n`),
  fc.constantFrom(
    '{"type":"open","type":"plan","__proto__":{"size":1}}\n',
    '{"error":{"code":"IN_USE","message":"\\u001b[2J"}}\n',
    '{"error":{"code":7}}\n',
    '{"type":"plan","size":1e999}\n',
    "\n\n\0\n",
  ),
);

const harm: fc.Arbitrary<Harm> = fc.oneof(
  { weight: 2, arbitrary: bytes.map((bytes) => ({ kind: "bytes" as const, bytes })) },
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ kind: fc.constant("field" as const), field: fc.nat(40) },
      ...{ value, isMissing: fc.boolean() },
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ kind: fc.constant("order" as const), message: fc.nat(7) },
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "silence" as const }) },
);

const conduct: fc.Arbitrary<Conduct> = fc.record({
  ...{ access: fc.constantFrom("read", "write"), verify: fc.boolean() },
  ...{ stage: fc.nat(STAGES.length - 1), harm, leave: fc.constantFrom("end", "vanish") },
});

/** A server under attack: `bytes` of `namespace` are served, to one client at a time. */
interface Target {
  port: number;
  namespace: string;
  size: number;
  events: ServerEvent[];
}

/** A server of `endpoint`, all `size` bytes of it, and how many clients it is to live through. */
export interface Siege {
  machine: Machine;
  endpoint: string;
  size: number;
  maxIodepth: number;
  clients: number;
}

/** Serves, and lets clients attack, one after another, each in its own way. */
export async function besiege(siege: Siege): Promise<void> {
  const { machine, endpoint, size, maxIodepth, clients } = siege;
  const events: ServerEvent[] = [];
  const server = await Server.listen({
    ...{ exports: [parseExport(`scratch=${endpoint}`)], machine, allowWrite: true },
    ...{ host: HOST, port: 0, timeoutMs: 20_000 },
    ...{ maxConnections: 1, maxIodepth, maxBs: 1 << 20 },
    onEvent: (event) => events.push(event),
  });
  const target = { port: server.port, namespace: "scratch", size, events };
  try {
    await fc.assert(
      fc.asyncProperty(conduct, (given) => attack(target, given)),
      { numRuns: clients, endOnFailure: true },
    );
  } finally {
    await server.close();
  }
}

/** Misbehaves once, and sees that the server then tells why, and serves the next one. */
async function attack(target: Target, given: Conduct): Promise<void> {
  const client = new HostileClient(target);
  await client.run(given);
  await served(target);
  for (const { error } of target.events)
    assert.notEqual(error?.code, "INTERNAL", `${error?.message}: ${JSON.stringify(given)}`);
  target.events.length = 0;
}

let lastCopy = 0;

function openOf({ namespace }: Target, access: "read" | "write"): Message {
  const copy = (++lastCopy).toString(16).padStart(32, "0");
  return { type: "open", copy, namespace, offset: 0, length: null, access };
}

function planOf({ size }: Target, verify: boolean): Message {
  const place = { name: "there", offset: 0, blockSize: 512 };
  return { type: "plan", size, bs: BS, iodepth: 2, verify, first: 0, place };
}

/** Takes the only place, and all of the range: both are free once whoever had them has been seen off. */
async function served(target: Target): Promise<void> {
  const end = performance.now() + PATIENT.timeoutMs;
  for (;;) {
    const client = await Connection.connect(HOST, target.port, PATIENT);
    try {
      client.send(openOf(target, "write"));
      await client.receive(protocol.opened);
      client.send(planOf(target, false));
      await client.receive(protocol.offer);
      return;
    } catch (error) {
      const isTaken = (error as { code?: string }).code === "TOO_MANY_CLIENTS";
      if (!isTaken || performance.now() > end) throw error;
    } finally {
      client.close();
    }
  }
}

class HostileClient {
  readonly #target: Target;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  #theirs: StreamOffer | undefined;

  constructor(target: Target) {
    this.#target = target;
    this.#socket = connect({ host: HOST, port: target.port });
    this.#socket.on("error", () => undefined);
    this.#lines = createInterface({ input: this.#socket })[Symbol.asyncIterator]();
  }

  async run({ access, verify, stage, harm, leave }: Conduct): Promise<void> {
    this.#say({ p2pmem: 2, role: "copy", nonce: null });
    await this.#hear();
    for (let said = 0; said < stage; said++) {
      this.#say(this.#messages(access, verify)[said]!);
      // Of a report nobody says anything.
      if (said < 3) await this.#hear();
    }
    this.#harm(harm, stage, this.#messages(access, verify));
    if (leave === "end") this.#socket.end();
    else reset(this.#socket);
    this.#socket.resume();
    if (!this.#socket.closed) await once(this.#socket, "close");
  }

  #harm(harm: Harm, stage: number, messages: Message[]): void {
    switch (harm.kind) {
      case "bytes":
        this.#socket.write(harm.bytes);
        break;
      case "field": {
        const message = structuredClone(messages[Math.min(stage, messages.length - 1)]!);
        const places = fieldsOf(message);
        const [holder, name] = places[harm.field % places.length]!;
        if (harm.isMissing) Reflect.deleteProperty(holder, name);
        else holder[name] = harm.value;
        this.#say(message);
        break;
      }
      case "order":
        for (let time = 0; time < harm.times; time++)
          this.#say(messages[harm.message % messages.length]!);
        break;
      case "silence":
    }
  }

  /** In the order in which they are due; then all kinds of reports. */
  #messages(access: "read" | "write", verify: boolean): Message[] {
    const theirs = this.#theirs;
    const offer = theirs && {
      ...theirs,
      role: access === "write" ? "source" : "destination",
    };
    const latency = { min: 1, mean: 1, max: 1, percentile: { "50": 1 } };
    const traffic = {
      ...{ source: "derived", host_memory_bytes: 0, host_control_bytes: 0 },
      root_complex_bytes: null,
    };
    const report = {
      ...{ bytes: 1, runtime_ns: 1, lat_ns: latency, cpu: { usr_ns: 1, sys_ns: 1, busy_ns: 1 } },
      ...{ traffic, iodepth: 2, notes: ["a"], verify_bytes: 0 },
    };
    const blocks = this.#target.size / BS;
    const sums = Buffer.alloc(4 * blocks).toString("base64");
    return [
      openOf(this.#target, access),
      planOf(this.#target, verify),
      { type: "offer", offer, staging: { memory: "host", reason: "it is hostile" } },
      { type: "confirmed", blocks: 1 },
      { type: "sums", first: 0, sums },
      { type: "flushed", blocks },
      { type: "confirmed", blocks },
      { type: "done", report },
    ];
  }

  #say(message: Message): void {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** The next line that is not only a sign of life; nothing once the server has had enough. */
  async #hear(): Promise<void> {
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) return;
      if (line.value === "") continue;
      const message = JSON.parse(line.value) as { type?: string; offer?: StreamOffer };
      if (message.type === "offer") this.#theirs = message.offer;
      return;
    }
  }
}

/** Each field of a message and of what it holds. */
function fieldsOf(message: Message): [Message, string][] {
  return Object.entries(message).flatMap(([name, value]): [Message, string][] => [
    [message, name],
    ...(typeof value === "object" && value !== null ? fieldsOf(value as Message) : []),
  ]);
}
