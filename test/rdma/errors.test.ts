/** What an RC queue pair makes of requests that it may not carry out. */
import assert from "node:assert/strict";
import { Connection, OPCODE, part, remoteOf } from "./connection.js";
import { ACCESS, isLab, STATUS, useRdmaMachine } from "./machine.js";

describe("a queue pair's errors", () => {
  const machine = useRdmaMachine();
  let connection: Connection;

  beforeEach(() => {
    connection = new Connection(machine);
  });
  afterEach(() => {
    connection.close();
  });

  it("flush what was posted, both ways, once it is brought to the error state", async () => {
    const { pairs, queues } = connection;
    const buffer = connection.buffer(4096);
    assert.equal(pairs[0].receive({ sges: [part(buffer)], id: 1n }), 1);
    assert.equal(pairs[0].receive({ sges: [part(buffer)], id: 2n }), 1);
    pairs[0].native.toError();
    assert.equal(pairs[0].native.state(), "error");
    const flushed = await queues[0].take(2);
    assert.deepEqual(
      flushed.map(({ id, status }) => [id, status]),
      [
        [1n, STATUS.flushed],
        [2n, STATUS.flushed],
      ],
    );
    // What is posted from then on as well.
    assert.equal(pairs[0].send({ opcode: OPCODE.send, sges: [part(buffer)], id: 3n }), 1);
    const [late] = await queues[0].take(1);
    assert.deepEqual([late!.id, late!.status], [3n, STATUS.flushed]);
  });

  it("are remote access errors for keys and ranges that the other side has not", async () => {
    const { device } = machine;
    const wrong = [
      [
        "an unknown key",
        (target: { address: bigint; rkey: number }) => ({ ...target, rkey: target.rkey ^ 0x5500 }),
      ],
      [
        "bytes past the end",
        (target: { address: bigint; rkey: number }) => ({
          ...target,
          address: target.address + 4096n,
        }),
      ],
    ] as const;
    for (const [what, change] of wrong)
      for (const opcode of [OPCODE.write, OPCODE.read]) {
        const pair = new Connection({ ...machine, device });
        const [from, to] = [pair.buffer(8192), pair.buffer(8192)];
        from.bytes.fill(1);
        const remote = change(remoteOf(to));
        assert.equal(pair.pairs[0].send({ opcode, sges: [part(from)], remote }), 1);
        const [failed] = await pair.queues[0].take(1);
        assert.equal(failed!.status, STATUS.remoteAccess, what);
        assert.equal(pair.pairs[0].native.state(), "error", what);
        assert.ok(to.bytes.every((byte) => byte === 0) || what.includes("past"), what);
        pair.close();
      }
  });

  it("are remote access errors for what a region does not allow", async () => {
    const { pairs, queues } = connection;
    const from = connection.buffer(4096);
    const to = connection.buffer(4096, ACCESS.localWrite | ACCESS.remoteRead);
    from.bytes.fill(1);
    const request = { sges: [part(from)], remote: remoteOf(to) };
    assert.equal(pairs[0].send({ ...request, opcode: OPCODE.read }), 1);
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.success);
    assert.ok(from.bytes.every((byte) => byte === 0));
    from.bytes.fill(1);
    assert.equal(pairs[0].send({ ...request, opcode: OPCODE.write }), 1);
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.remoteAccess);
    assert.ok(to.bytes.every((byte) => byte === 0));
  });

  // InfiniBand 1.4 §11.6.2 has it so; soft-RoCE flushes the request.
  it("are local protection errors for keys that this side has not", async () => {
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    const sges = [{ ...part(from), lkey: from.region.lkey ^ 0x5500 }];
    assert.equal(pairs[0].send({ opcode: OPCODE.write, sges, remote: remoteOf(to) }), 1);
    const [failed] = await queues[0].take(1);
    assert.equal(failed!.status, isLab ? STATUS.flushed : STATUS.localProtection);
    assert.equal(pairs[0].native.state(), "error");
  });

  it("are remote access errors for regions that have been closed", async () => {
    const { pairs, queues, domain } = connection;
    const [from, to] = [connection.buffer(4096), connection.buffer(4096)];
    const again = domain.registerHost(to.memory, 0, 4096, ACCESS.localWrite | ACCESS.remoteWrite);
    const remote = { address: again.address, rkey: again.rkey };
    from.bytes.fill(1);
    const write = { opcode: OPCODE.write, sges: [part(from)], remote };
    assert.equal(pairs[0].send(write), 1);
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.success);
    again.close();
    to.bytes.fill(0);
    assert.equal(pairs[0].send(write), 1);
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.remoteAccess);
    assert.ok(to.bytes.every((byte) => byte === 0));
  });
});
