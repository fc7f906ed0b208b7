/** What ends an RC connection, and what it is patient with: the statuses on either side. */
import assert from "node:assert/strict";
import { Connection, OPCODE, part, remoteOf, type Buffer } from "./connection.js";
import { ACCESS, isLab, STATUS, useRdmaMachine } from "./machine.js";

/** 4.096 us x 2 ** 12: 17 ms until a request is repeated; 10 us until a receiver is asked again. */
const QUICK = { timeout: 12, retries: 2, minRnrTimer: 1 };

describe("a connection ends", () => {
  const machine = useRdmaMachine();
  let connection: Connection;
  let from: Buffer;
  let to: Buffer;

  afterEach(() => {
    connection.close();
  });

  function connect(options = {}): void {
    connection = new Connection(machine, { connection: { ...QUICK, ...options } });
    from = connection.buffer(8192);
    to = connection.buffer(8192);
    from.bytes.fill(3);
  }

  async function statusOf(side: 0 | 1): Promise<number> {
    return (await connection.queues[side].take(1))[0]!.status;
  }

  /** Of a request of the first side, to that memory. */
  async function endOf(opcode: number, own: Buffer, other: Buffer): Promise<number> {
    const request = { opcode, sges: [part(own)], remote: remoteOf(other) };
    assert.equal(connection.pairs[0].send(request), 1);
    return statusOf(0);
  }

  for (const [what, opcode] of [
    ["send", OPCODE.send],
    ["write with an immediate", OPCODE.writeImmediate],
  ] as const) {
    it(`where nobody receives a ${what}, and the retries are over`, async () => {
      connect({ rnrRetries: 2 });
      assert.equal(await endOf(opcode, from, to), STATUS.rnrRetryExceeded);
      assert.equal(connection.pairs[0].native.state(), "error");
    });

    it(`not where a ${what} is received late, and may be retried without an end`, async () => {
      connect({ rnrRetries: 7 });
      const { pairs, queues } = connection;
      assert.equal(pairs[0].send({ opcode, sges: [part(from)], remote: remoteOf(to) }), 1);
      // Longer than any number of retries would last.
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(queues[0].poll(), []);
      pairs[1].receive({ sges: [part(to)] });
      assert.deepEqual([await statusOf(0), await statusOf(1)], [STATUS.success, STATUS.success]);
      assert.deepEqual(to.bytes, from.bytes);
    });
  }

  it("where the other side is gone, once the retries are over", async () => {
    connect();
    connection.pairs[1].close();
    assert.equal(await endOf(OPCODE.write, from, to), STATUS.retryExceeded);
  });

  it("where a message is longer than what waits for it, at both ends", async () => {
    connect();
    connection.pairs[1].receive({ sges: [part(to, 0, 4096)] });
    // As InfiniBand 1.4 §11.6.2 has it, but for soft-RoCE.
    const [sent, received] = isLab
      ? [STATUS.remoteOperation, STATUS.localOperation]
      : [STATUS.remoteInvalidRequest, STATUS.localLength];
    assert.equal(await endOf(OPCODE.send, from, to), sent);
    assert.equal(await statusOf(1), received);
    assert.equal(connection.pairs[1].native.state(), "error");
    assert.ok(to.bytes.subarray(4096).every((byte) => byte === 0));
  });

  it("where a key is one of another domain", async () => {
    connect();
    const other = new Connection(machine);
    const foreign = other.buffer(8192);
    assert.equal(await endOf(OPCODE.write, from, foreign), STATUS.remoteAccess);
    assert.ok(foreign.bytes.every((byte) => byte === 0));
    other.close();
  });

  it("where a region may not be read by others", async () => {
    connect();
    const own = connection.buffer(8192, ACCESS.localWrite | ACCESS.remoteWrite);
    own.bytes.fill(9);
    assert.equal(await endOf(OPCODE.read, to, own), STATUS.remoteAccess);
    assert.ok(to.bytes.every((byte) => byte === 0));
  });

  for (const [what, opcode, remoteAccess] of [
    ["write", OPCODE.write, ACCESS.remoteRead],
    ["read", OPCODE.read, ACCESS.remoteWrite],
  ] as const)
    it(`where a queue pair lets nobody ${what}, whatever the region allows`, async () => {
      connect({ remoteAccess });
      assert.equal(await endOf(opcode, from, to), STATUS.remoteInvalidRequest);
      assert.ok(to.bytes.every((byte) => byte === 0) && from.bytes.every((byte) => byte === 3));
    });

  it("where what is read goes into a region that may not be written", async () => {
    connect();
    const constant = connection.buffer(8192, ACCESS.remoteRead);
    assert.equal(await endOf(OPCODE.read, constant, from), STATUS.localProtection);
    assert.ok(constant.bytes.every((byte) => byte === 0));
  });

  it("where what is received goes into a region that may not be written, at both ends", async () => {
    connect();
    const constant = connection.buffer(8192, ACCESS.remoteRead);
    connection.pairs[1].receive({ sges: [part(constant)] });
    assert.equal(await endOf(OPCODE.send, from, to), STATUS.remoteOperation);
    assert.notEqual(await statusOf(1), STATUS.success);
    assert.ok(constant.bytes.every((byte) => byte === 0));
  });
});
