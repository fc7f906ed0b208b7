/** What befalls an RC connection: the loopback NIC can be made to do it. */
import assert from "node:assert/strict";
import { Connection, FLAG, OPCODE, Pair, part, remoteOf } from "../rdma/connection.js";
import { ACCESS, gidOf } from "../rdma/machine.js";
import { EVENT, RnicMachine, until, WC } from "./rnic.js";

/** 4.096 us * 2 ** 8: about a millisecond. */
const QUICK = { timeout: 8, retries: 3, minRnrTimer: 1 };
const ENTRIES = { sends: 4, receives: 4 };

describe("the loopback NIC's connections", () => {
  let machine: RnicMachine;
  let connection: Connection;
  const connect = (options = {}) =>
    new Connection(machine, { connection: { ...QUICK, ...options } });

  beforeEach(() => {
    machine = new RnicMachine();
    connection = connect();
  });
  afterEach(() => {
    connection.close();
    machine.close();
  });

  it("end where a message is longer than what waits for it, at both ends", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(8192), connection.buffer(4096)];
    pairs[1].receive({ sges: [part(to)], id: 7n });
    pairs[0].send({ opcode: OPCODE.send, sges: [part(from)] });
    const [sent] = await queues[0].take(1);
    const [received] = await queues[1].take(1);
    assert.equal(sent!.status, WC.remoteInvalidRequest);
    assert.deepEqual([received!.id, received!.status], [7n, WC.localLength]);
    assert.equal(pairs[1].native.state(), "error");
    await machine.event(EVENT.queuePairRequest);
  });

  it("end where the key of a receive is wrong, at both ends", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    pairs[1].receive({ sges: [{ ...part(to), lkey: 0x1234_5600 }] });
    pairs[0].send({ opcode: OPCODE.send, sges: [part(from)] });
    assert.equal((await queues[0].take(1))[0]!.status, WC.remoteOperation);
    assert.equal((await queues[1].take(1))[0]!.status, WC.localProtection);
  });

  it("let others do what was said when they were initialized, on the port of then", async () => {
    const { domain, queues } = connection;
    const [queue] = queues;
    const target = connection.buffer(4096);
    const make = () =>
      new Pair(domain.createQueuePair(queue.native, queue.native, ENTRIES), ENTRIES.sends);
    const ends = [make(), make()] as const;
    const addressOf = (end: number) => {
      const { index: gidIndex, gid } = gidOf(machine.device, end + 1);
      const address = { number: ends[end]!.native.number, psn: 1, lid: 0, gid };
      return { own: { port: end + 1, gidIndex, psn: 1, ...QUICK }, address };
    };
    const sides = [addressOf(0), addressOf(1)] as const;
    const remoteAccess = ACCESS.remoteWrite | ACCESS.remoteRead;
    ends.forEach(({ native }, end) => {
      const { own } = sides[end]!;
      const to = sides[1 - end]!.address;
      native.initialize(own);
      assert.throws(() => native.connect({ ...own, port: 2 - end }, to), { code: "IO" });
      native.connect({ ...own, remoteAccess }, to);
    });
    const remote = remoteOf(target);
    ends[0].send({ opcode: OPCODE.write, sges: [part(target)], remote });
    assert.equal((await queue.take(1))[0]!.status, WC.remoteInvalidRequest);
    for (const end of ends) end.close();
  });

  it("leave nothing of a closed queue pair in the way of what completed after it", () => {
    const { domain, queues } = connection;
    const [queue] = queues;
    const gone = new Pair(
      domain.createQueuePair(queue.native, queue.native, ENTRIES),
      ENTRIES.sends,
    );
    const left = new Pair(
      domain.createQueuePair(queue.native, queue.native, ENTRIES),
      ENTRIES.sends,
    );
    const target = connection.buffer(64);
    for (const pair of [gone, left]) {
      pair.native.initialize({ port: 1 });
      pair.receive({ sges: [part(target)] }, { sges: [part(target)] });
    }
    gone.native.toError();
    left.native.toError();
    const { number } = left.native;
    gone.close();
    assert.deepEqual(
      queue.poll(1).map(({ queuePair }) => queuePair),
      [number],
    );
    left.close();
  });

  it("complete in order: what was sent before an error first, then flushes", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    const remote = remoteOf(to);
    const write = { opcode: OPCODE.write, sges: [part(from)], remote };
    const bad = { ...write, sges: [{ ...part(from), lkey: 0x7777_7700 }] };
    pairs[0].send({ ...write, id: 1n }, { ...bad, id: 2n }, { ...write, id: 3n, flags: 0 });
    const ended = await queues[0].take(3);
    assert.deepEqual(
      ended.map(({ id, status }) => [id, status]),
      [
        [1n, WC.success],
        [2n, WC.localProtection],
        [3n, WC.flushed],
      ],
    );
  });

  it("wait for a receiver that is not ready, and end when it never is", async () => {
    connection.close();
    connection = connect({ rnrRetries: 7 });
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    connection.pairs[0].send({ opcode: OPCODE.send, sges: [part(from)] });
    await until(() => machine.counters().rnrNaks > 20);
    connection.pairs[1].receive({ sges: [part(to)] });
    assert.equal((await connection.queues[0].take(1))[0]!.status, WC.success);
    connection.close();

    connection = connect({ rnrRetries: 2 });
    const before = machine.counters().rnrNaks;
    const source = connection.buffer(4096);
    connection.pairs[0].send({ opcode: OPCODE.send, sges: [part(source)] });
    const [ended] = await connection.queues[0].take(1);
    assert.equal(ended!.status, WC.rnrRetryExceeded);
    assert.equal(machine.counters().rnrNaks - before, 3);
  });

  for (const effect of ["lose", "corrupt"] as const)
    it(`repair what the wire does to packets (${effect}) by sending them again`, async () => {
      const { pairs, queues } = connection;
      const LENGTH = 3 << 20; // a dozen packets
      const [from, to, back] = [0, 1, 2].map(() => connection.buffer(LENGTH)) as [
        ReturnType<Connection["buffer"]>,
        ReturnType<Connection["buffer"]>,
        ReturnType<Connection["buffer"]>,
      ];
      new Uint32Array(from.bytes.buffer, 0, LENGTH / 4).forEach(
        (_, i, all) => (all[i] = i * 7 + 1),
      );
      for (const after of [0, 3, 5, 9, 11]) machine.inject({ on: "packet", effect, after });
      pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) });
      assert.equal((await queues[0].take(1))[0]!.status, WC.success);
      assert.ok(Buffer.compare(from.bytes, to.bytes) === 0);
      for (const after of [0, 2, 4, 7]) machine.inject({ on: "packet", effect, after });
      pairs[0].send({ opcode: OPCODE.read, sges: [part(back)], remote: remoteOf(to) });
      assert.equal((await queues[0].take(1))[0]!.status, WC.success);
      assert.ok(Buffer.compare(from.bytes, back.bytes) === 0);
      const { retransmissions, lostPackets, damagedPackets } = machine.counters();
      assert.equal(effect === "lose" ? lostPackets : damagedPackets, 9);
      assert.ok(retransmissions > 0);
    });

  it("deliver a message once, though its acknowledgement was lost", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(8192)];
    pairs[1].receive({ sges: [part(to, 0, 4096)], id: 1n }, { sges: [part(to, 4096)], id: 2n });
    machine.inject({ on: "packet", effect: "lose", after: 1 });
    pairs[0].send({ opcode: OPCODE.send, sges: [part(from)] });
    assert.equal((await queues[0].take(1))[0]!.status, WC.success);
    assert.equal(machine.counters().timeouts, 1);
    assert.deepEqual(
      queues[1].poll().map(({ id }) => id),
      [1n],
    );
  });

  it("take packets that come late, and in another order", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    from.bytes.fill(1, 0, 2048);
    from.bytes.fill(2, 2048);
    machine.inject({ on: "packet", delay: 5 });
    const remote = remoteOf(to);
    pairs[0].send(
      { opcode: OPCODE.write, sges: [part(from, 0, 2048)], remote, id: 1n },
      { opcode: OPCODE.write, sges: [part(from, 2048)], remote, id: 2n },
    );
    const ended = await queues[0].take(2);
    assert.deepEqual(
      ended.map(({ id, status }) => [id, status]),
      [
        [1n, WC.success],
        [2n, WC.success],
      ],
    );
    // The second of them wrote last.
    assert.ok(to.bytes.subarray(0, 2048).every((byte) => byte === 2));
  });

  it("end by their retries where the link stays down, and tell of the ports", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    machine.inject({ on: "now", effect: "link-down" });
    await machine.event(EVENT.portError, 2);
    assert.equal(machine.device.port(1).state, 1);
    const start = performance.now();
    pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) });
    assert.equal((await queues[0].take(1))[0]!.status, WC.retryExceeded);
    assert.ok(performance.now() - start >= 4, "four times a millisecond");
    assert.throws(() => connect(), { code: "PORT_DOWN" });
    machine.inject({ on: "now", effect: "link-up" });
    await machine.event(EVENT.portActive, 2);
    assert.equal(machine.device.port(2).state, 4);
    connect().close();
  });

  it("end where their completion queue overruns", async () => {
    const queue = connection.queues[0].native;
    const { pairs } = connection;
    const [from, to] = [connection.buffer(64), connection.buffer(64)];
    const write = { opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) };
    for (let sent = 0; sent <= queue.entries;)
      sent += Math.max(
        0,
        pairs[0].native.state() === "error" ? queue.entries : pairs[0].send(write),
      );
    await machine.event(EVENT.completionQueue);
    await machine.event(EVENT.queuePairFatal);
    assert.equal(pairs[0].native.state(), "error");
  });

  it("fence what follows reads until they are complete", async () => {
    const { pairs, queues } = connection;
    const [own, other] = [connection.buffer(1 << 20), connection.buffer(1 << 20)];
    other.bytes.fill(9);
    pairs[0].send(
      { opcode: OPCODE.read, sges: [part(own)], remote: remoteOf(other), id: 1n },
      {
        opcode: OPCODE.write,
        sges: [part(own)],
        remote: remoteOf(other),
        id: 2n,
        flags: FLAG.signaled | FLAG.fence,
      },
    );
    const ended = await queues[0].take(2);
    assert.deepEqual(
      ended.map(({ status }) => status),
      [WC.success, WC.success],
    );
    // What was read is what was written back: the write did not pass the read.
    assert.ok(other.bytes.every((byte) => byte === 9));
  });

  for (const effect of ["remove", "vanish"] as const)
    it(`end with their NIC (${effect}): what was posted is flushed, and others hear of it`, async () => {
      const { pairs, queues } = connection;
      const to = connection.buffer(4096);
      pairs[1].receive({ sges: [part(to)], id: 5n });
      machine.inject({ on: "now", effect });
      const [flushed] = await queues[1].take(1);
      assert.deepEqual([flushed!.id, flushed!.status], [5n, WC.flushed]);
      await machine.event(EVENT.deviceFatal);
      assert.throws(() => connection.domain.registerHost(to.memory, 0, 4096, 1), {
        code: "DEVICE_GONE",
      });
      assert.equal(machine.device.port(1).state, 1);
      pairs[0].send({ opcode: OPCODE.write, sges: [part(to)], remote: remoteOf(to) });
      assert.equal((await queues[0].take(1))[0]!.status, WC.flushed);
      const isThere = effect === "vanish";
      assert.equal(machine.machine.rdmaDevices().length, isThere ? 1 : 0);
      if (!isThere) return;
      // Opened again it is reset, and of use to those who open it from then on.
      const device = machine.machine.openRdmaDevice("rnic0");
      assert.equal(device.port(1).state, 4);
      const again = new Connection({ device, ports: [1, 2] });
      const [from, target] = [again.buffer(4096), again.buffer(4096)];
      from.bytes.fill(3);
      again.pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(target) });
      assert.equal((await again.queues[0].take(1))[0]!.status, WC.success);
      assert.deepEqual(target.bytes, from.bytes);
      assert.throws(() => connection.domain.registerHost(to.memory, 0, 4096, 1), {
        code: "DEVICE_GONE",
      });
      again.close();
      device.close();
    });
});
