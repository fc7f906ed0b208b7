/** Messages between two queue pairs of one process: every kind of them, and the data that they bring. */
import assert from "node:assert/strict";
import { pattern } from "../device/machine.js";
import { COMPLETED, Connection, FLAG, OPCODE, part, remoteOf } from "./connection.js";
import { STATUS, useRdmaMachine } from "./machine.js";

const KIB = 1024;

describe("a connection of two queue pairs", () => {
  const machine = useRdmaMachine();
  let connection: Connection;

  beforeEach(() => {
    connection = new Connection(machine, { sge: 16, inlineBytes: 64 });
  });
  afterEach(() => {
    connection.close();
  });

  it("goes from reset over init to ready to send", () => {
    const { domain, queues } = connection;
    const fresh = domain.createQueuePair(queues[0].native, queues[0].native, {
      sends: 1,
      receives: 1,
    });
    assert.equal(fresh.state(), "reset");
    fresh.initialize({ port: machine.ports[0] });
    assert.equal(fresh.state(), "init");
    assert.throws(
      () => {
        fresh.initialize({ port: 200 });
      },
      { code: "NO_PORT" },
    );
    assert.throws(
      () => {
        const remote = { number: fresh.number, psn: 0, lid: 0, gid: new Uint8Array(16).fill(1) };
        fresh.connect({ port: machine.ports[0], gidIndex: 200 }, remote);
      },
      { code: "NO_GID" },
    );
    fresh.close();
    for (const { native } of connection.pairs) assert.equal(native.state(), "ready-to-send");
  });

  it("sends a message to whoever waits for one, with its immediate", async () => {
    const { pairs, queues } = connection;
    const from = connection.buffer(10_000);
    const to = connection.buffer(12_000);
    from.bytes.set(pattern(from.bytes.length, 1));
    assert.equal(pairs[1].receive({ sges: [part(to, 100)], id: 77n }), 1);
    const immediate = 0x12345678;
    const request = { opcode: OPCODE.sendImmediate, sges: [part(from)], id: 2n ** 63n + 5n };
    assert.equal(pairs[0].send({ ...request, immediate }), 1);
    const [sent] = await queues[0].take(1);
    const [received] = await queues[1].take(1);
    assert.deepEqual([sent!.id, sent!.status], [2n ** 63n + 5n, STATUS.success]);
    assert.equal(sent!.opcode, COMPLETED.send);
    assert.equal(sent!.queuePair, pairs[0].native.number);
    assert.deepEqual(received, {
      ...{ id: 77n, status: STATUS.success, opcode: COMPLETED.receive, bytes: 10_000, immediate },
      queuePair: pairs[1].native.number,
    });
    assert.deepEqual(to.bytes.subarray(100, 10_100), from.bytes);
    assert.ok(to.bytes.subarray(10_100).every((byte) => byte === 0));
  });

  it("sends messages of no bytes, and such without an immediate", async () => {
    const { pairs, queues } = connection;
    assert.equal(pairs[1].receive({ sges: [] }), 1);
    assert.equal(pairs[0].send({ opcode: OPCODE.send, sges: [] }), 1);
    const [received] = await queues[1].take(1);
    assert.deepEqual([received!.status, received!.bytes], [STATUS.success, 0]);
    assert.equal(received!.immediate, null);
    await queues[0].take(1);
  });

  for (const length of [1, 4096, 64 * KIB + 3])
    it(`writes ${length} bytes into the other side's memory, and reads them back`, async () => {
      const { pairs, queues } = connection;
      const [from, to, back] = [1, 2, 3].map(() => connection.buffer(length + 64)) as [
        ReturnType<Connection["buffer"]>,
        ReturnType<Connection["buffer"]>,
        ReturnType<Connection["buffer"]>,
      ];
      from.bytes.set(pattern(length, 2), 7);
      const write = {
        opcode: OPCODE.write,
        sges: [part(from, 7, length)],
        remote: remoteOf(to, 5),
      };
      assert.equal(pairs[0].send(write), 1);
      const [written] = await queues[0].take(1);
      assert.deepEqual([written!.status, written!.opcode], [STATUS.success, COMPLETED.write]);
      assert.deepEqual(to.bytes.subarray(5, 5 + length), from.bytes.subarray(7, 7 + length));
      assert.ok(
        [...to.bytes.subarray(0, 5), ...to.bytes.subarray(5 + length)].every((b) => b === 0),
      );
      const read = { opcode: OPCODE.read, sges: [part(back, 9, length)], remote: remoteOf(to, 5) };
      assert.equal(pairs[0].send(read), 1);
      const [fetched] = await queues[0].take(1);
      assert.deepEqual([fetched!.status, fetched!.opcode], [STATUS.success, COMPLETED.read]);
      assert.equal(fetched!.bytes, length);
      assert.deepEqual(back.bytes.subarray(9, 9 + length), from.bytes.subarray(7, 7 + length));
      assert.deepEqual(queues[1].poll(), [], "the other side hears nothing of it");
    });

  it("writes with an immediate, which the other side hears once the data is there", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    from.bytes.set(pattern(4096, 3));
    assert.equal(pairs[1].receive({ sges: [], id: 9n }), 1);
    const write = { opcode: OPCODE.writeImmediate, sges: [part(from)], remote: remoteOf(to) };
    assert.equal(pairs[0].send({ ...write, immediate: 0xfffffffe }), 1);
    const [heard] = await queues[1].take(1);
    assert.deepEqual(to.bytes, from.bytes);
    assert.deepEqual([heard!.id, heard!.bytes, heard!.immediate], [9n, 4096, 0xfffffffe]);
    assert.equal(heard!.opcode, COMPLETED.receiveWriteImmediate);
    await queues[0].take(1);
  });

  it("takes inline data at once: its source may change as soon as it is posted", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    assert.ok(pairs[0].native.maxInline >= 64);
    const flags = FLAG.signaled | FLAG.inline;
    const expected = pattern(64, 4);
    from.bytes.set(expected);
    // The key of inline data is not looked at.
    const sges = [
      { ...part(from, 0, 40), lkey: 0 },
      { ...part(from, 40, 24), lkey: 0 },
    ];
    assert.equal(pairs[0].send({ opcode: OPCODE.write, sges, flags, remote: remoteOf(to) }), 1);
    from.bytes.fill(0);
    const [written] = await queues[0].take(1);
    assert.equal(written!.status, STATUS.success);
    assert.deepEqual(to.bytes.slice(0, 64), expected);
  });

  it("gathers from 1 to 16 places, and scatters to as many", async () => {
    const { pairs, queues } = connection;
    const from = connection.buffer(64 * KIB);
    const to = connection.buffer(64 * KIB);
    from.bytes.set(pattern(from.bytes.length, 5));
    for (let places = 1; places <= 16; places++) {
      to.bytes.fill(0);
      const spread = (step: number): { offset: number; length: number }[] =>
        Array.from({ length: places }, (_, index) => ({
          offset: ((index * step) % 16) * 4096 + index,
          length: 100 + index,
        }));
      const [gathered, scattered] = [spread(7), spread(5)];
      const { region: source } = from;
      const { region: target } = to;
      pairs[1].receive({ sges: scattered.map((place) => ({ region: target, ...place })) });
      const sges = gathered.map((place) => ({ region: source, ...place }));
      assert.equal(pairs[0].send({ opcode: OPCODE.send, sges }), 1);
      const [received] = await queues[1].take(1);
      assert.equal(received!.status, STATUS.success);
      await queues[0].take(1);
      gathered.forEach(({ offset, length }, index) => {
        const there = scattered[index]!.offset;
        const expected = from.bytes.subarray(offset, offset + length);
        assert.deepEqual(to.bytes.subarray(there, there + length), expected, `${places}: ${index}`);
      });
    }
    assert.equal(pairs[0].send({ opcode: OPCODE.send, sges: new Array(17).fill(part(from)) }), -22);
  });

  it("posts and completes in batches, in order, over many turns of the rings", async () => {
    const { pairs, queues } = connection;
    const from = connection.buffer(32 * KIB);
    const to = connection.buffer(32 * KIB);
    let number = 0;
    for (let round = 0; round < 30; round++) {
      const count = 1 + ((round * 5) % 13);
      from.bytes.set(pattern(count * 1000, round));
      const requests = Array.from({ length: count }, (_, index) => ({
        ...{ opcode: OPCODE.write, id: BigInt(number + index) },
        ...{ sges: [part(from, index * 1000, 1000)], remote: remoteOf(to, index * 1000) },
      }));
      assert.equal(pairs[0].send(...requests), count);
      const completions = await queues[0].take(count);
      assert.deepEqual(
        completions.map(({ id, status }) => [id, status]),
        requests.map(({ id }) => [id, STATUS.success]),
      );
      const bytes = count * 1000;
      assert.deepEqual(to.bytes.subarray(0, bytes), from.bytes.subarray(0, bytes), `${round}`);
      number += count;
    }
  });

  it("is silent about what is not signaled", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    from.bytes.set(pattern(4096, 6));
    const write = { opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) };
    const requests = [0, 0, 0, FLAG.signaled].map((flags, id) => ({
      ...write,
      flags,
      id: BigInt(id),
    }));
    assert.equal(pairs[0].send(...requests), 4);
    const [last] = await queues[0].take(1);
    assert.equal(last!.id, 3n);
    assert.deepEqual(queues[0].poll(), []);
    assert.deepEqual(to.bytes, from.bytes);
  });

  it("takes a part of a batch: what comes before a request that is none", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    const write = { opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) };
    assert.equal(pairs[0].send(write, write, { ...write, opcode: 99 }, write), 2);
    await queues[0].take(2);
    assert.equal(pairs[0].send({ ...write, opcode: 99 }), -22);
    assert.equal(pairs[0].postSends(0, 17), -22, "more than there are records");
  });

  it("says when it posted and when it found completions, by the clock of process.hrtime()", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    const times = [process.hrtime.bigint()];
    assert.equal(
      pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) }),
      1,
    );
    times.push(pairs[0].postedAt, process.hrtime.bigint());
    await queues[0].take(1);
    times.push(queues[0].polledAt, process.hrtime.bigint());
    assert.deepEqual(queues[0].poll(), []);
    assert.equal(queues[0].polledAt, times[3], "none were found");
    assert.deepEqual(
      times,
      [...times].sort((a, b) => Number(a - b)),
    );
  });

  it("tells of a completion by its channel, to a handler or to a thread that waits", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(64), connection.buffer(64)];
    const { native } = queues[1];
    const sendOne = (flags = FLAG.signaled): void => {
      pairs[1].receive({ sges: [part(to)] });
      assert.equal(pairs[0].send({ opcode: OPCODE.send, sges: [part(from)], flags }), 1);
    };
    assert.equal(native.waitEvent(0), false);
    native.arm(false);
    sendOne();
    assert.equal(native.waitEvent(10_000), true);
    await queues[1].take(1);
    // Without arm() nobody is told, and a solicited one is waited for where that was asked.
    sendOne();
    await queues[1].take(1);
    assert.equal(native.waitEvent(50), false);
    native.arm(true);
    sendOne();
    await queues[1].take(1);
    assert.equal(native.waitEvent(50), false);
    sendOne(FLAG.signaled | FLAG.solicited);
    assert.equal(native.waitEvent(10_000), true);
    await queues[1].take(1);

    let calls = 0;
    const called = new Promise<void>((resolve) => {
      native.onEvent(() => {
        calls += 1;
        resolve();
      });
    });
    native.arm(false);
    sendOne();
    // A handler keeps no process alive: here the timer does.
    const alive = setTimeout(() => undefined, 10_000);
    await called;
    clearTimeout(alive);
    await queues[1].take(1);
    native.onEvent(null);
    native.arm(false);
    sendOne();
    await queues[1].take(1);
    await new Promise(setImmediate);
    assert.equal(calls, 1);
    await queues[0].take(6);
  });
});
