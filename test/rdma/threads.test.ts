/** Queue pairs and completion queues that one thread has made and another one uses. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { Connection, OPCODE, part, remoteOf, type Buffer } from "./connection.js";
import { isLab, STATUS, useRdmaMachine } from "./machine.js";

const ADDON = new URL("../../dist/addon.js", import.meta.url).href;
const CONNECTION = new URL("connection.js", import.meta.url).href;

/** Opened there by number; `pair` and `queue` are those of connection.ts, over their native ones. */
const OPEN = `
  import { parentPort, workerData } from "node:worker_threads";
  const { addon } = await import(${JSON.stringify(ADDON)});
  const { Pair, Queue } = await import(${JSON.stringify(CONNECTION)});
  const queue = new Queue(addon().openCompletionQueue(workerData.queue));
  const pair = new Pair(addon().openQueuePair(workerData.pair));
  const codeOf = (call) => {
    try {
      return String(call());
    } catch (error) {
      return error.code;
    }
  };
`;

describe("a queue pair and a completion queue of another thread", () => {
  const machine = useRdmaMachine();
  let connection: Connection;
  let from: Buffer;
  let to: Buffer;

  beforeEach(() => {
    connection = new Connection(machine);
    [from, to] = [connection.buffer(64 << 10), connection.buffer(64 << 10)];
    from.bytes.forEach((_, index, bytes) => (bytes[index] = index * 7));
  });
  afterEach(() => {
    connection.close();
  });

  /** Runs `code` in a thread that has opened the first end; messages of it are `next()`'s values. */
  function start(code: string, of = connection): { worker: Worker; next: () => Promise<unknown> } {
    const { region } = from;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(OPEN + code)}`), {
      workerData: {
        queue: of.queues[0].native.id,
        pair: of.pairs[0].native.id,
        region: { address: region.address, lkey: region.lkey },
        remote: remoteOf(to),
      },
    });
    return { worker, next: async () => ((await once(worker, "message")) as [unknown])[0] };
  }

  async function writeFromHere(): Promise<void> {
    to.bytes.fill(0);
    const write = { opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) };
    assert.equal(connection.pairs[0].send(write), 1);
    assert.equal((await connection.queues[0].take(1))[0]!.status, STATUS.success);
    assert.deepEqual(to.bytes, from.bytes);
  }

  it("are posted to and polled there, in the same memory, and have one number each", async () => {
    const [end] = connection.pairs;
    assert.equal(end.native.id, end.native.id);
    assert.notEqual(end.native.id, connection.pairs[1].native.id);
    const { worker, next } = start(`
      const quarter = 16 << 10;
      const requests = [0, 1, 2, 3].map((n) => ({
        opcode: 0,
        id: BigInt(n + 1),
        sges: [{ region: workerData.region, offset: n * quarter, length: quarter }],
        remote: { ...workerData.remote, address: workerData.remote.address + BigInt(n * quarter) },
      }));
      const posted = pair.send(...requests);
      const completions = await queue.take(4);
      pair.close();
      queue.close();
      pair.close();
      parentPort.postMessage({ posted, completions, after: codeOf(() => pair.native.postSends()) });
    `);
    const exit = once(worker, "exit");
    const told = (await next()) as { posted: number; completions: object[]; after: string };
    assert.equal(told.posted, 4);
    assert.deepEqual(
      told.completions,
      [1n, 2n, 3n, 4n].map((id) => {
        const success = { status: STATUS.success, opcode: 1, immediate: null };
        return { ...told.completions[0], ...success, id, queuePair: end.native.number };
      }),
    );
    assert.equal(told.after, "CLOSED");
    assert.deepEqual(to.bytes, from.bytes);
    // What was posted and polled there lies in what is seen here.
    const ring = end.native.sends();
    assert.equal(new DataView(ring.buffer).getBigUint64(3 * end.native.sendStride, true), 4n);
    ring.close();
    await exit;
    await writeFromHere();
  });

  it("stay open when that thread ends, whether it closes them or not", async () => {
    const idle = "setInterval(() => [pair, queue], 1000); queue.native.onEvent(() => undefined);";
    const { worker, next } = start(`${idle}\nparentPort.postMessage(pair.native.state());`);
    assert.equal(await next(), "ready-to-send");
    await worker.terminate();
    await writeFromHere();
    const own = addon().openQueuePair(connection.pairs[0].native.id);
    own.close();
    assert.throws(() => own.state(), { code: "CLOSED" });
    await writeFromHere();
  });

  it("are gone there once their own thread has closed them", async () => {
    const { worker, next } = start(`
      parentPort.postMessage("open");
      await new Promise((resolve) => parentPort.once("message", resolve));
      parentPort.postMessage([
        () => pair.native.postSends(),
        () => pair.native.postReceives(),
        () => pair.native.number,
        () => pair.native.state(),
        () => pair.native.toError(),
        () => queue.native.poll(),
        () => queue.native.arm(false),
        () => queue.native.waitEvent(0),
        () => queue.native.onEvent(() => undefined),
        () => queue.close(),
        () => pair.close(),
        () => queue.native.poll(),
      ].map(codeOf));
    `);
    assert.equal(await next(), "open");
    const [{ native: pair }] = connection.pairs;
    const [{ native: queue }] = connection.queues;
    const [pairId, queueId] = [pair.id, queue.id];
    assert.throws(
      () => {
        queue.close();
      },
      { code: "IN_USE" },
    );
    pair.close();
    queue.close();
    for (const use of [() => pair.state(), () => queue.poll()])
      assert.throws(use, { code: "CLOSED" });
    assert.throws(() => addon().openQueuePair(pairId), { code: "GONE" });
    assert.throws(() => addon().openCompletionQueue(queueId), { code: "GONE" });
    worker.postMessage("closed");
    const codes = (await next()) as string[];
    assert.deepEqual(codes, [...Array<string>(9).fill("GONE"), "undefined", "undefined", "CLOSED"]);
    for (const id of [0, 2 ** 31]) assert.throws(() => addon().openQueuePair(id), { code: "GONE" });
  });

  it("are closed while that thread posts, polls and waits, and it is told", async () => {
    for (let round = 0; round < (isLab ? 1 : 5); round++) {
      const own = new Connection(machine);
      const { next } = start(
        `
        const write = {
          opcode: 0,
          sges: [{ region: workerData.region, offset: 0, length: 64 }],
          remote: workerData.remote,
        };
        parentPort.postMessage("runs");
        const codes = {};
        const isOver = () => [codes.post, codes.poll, codes.wait].every((code) => code === "GONE");
        for (let n = 0; n < 1e8 && !isOver(); n++) {
          codes.post = codeOf(() => pair.send(write));
          codes.poll = codeOf(() => queue.poll(16));
          codes.wait = codeOf(() => queue.native.waitEvent(0));
        }
        parentPort.postMessage(codes);
      `,
        own,
      );
      assert.equal(await next(), "runs");
      await new Promise((resolve) => setTimeout(resolve, round));
      own.close();
      assert.deepEqual(await next(), { post: "GONE", poll: "GONE", wait: "GONE" });
    }
    await writeFromHere();
  });
});
