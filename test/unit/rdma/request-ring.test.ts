/** The records that the addon posts from (native/core/rdma_ring.h). */
import assert from "node:assert/strict";
import type { InlineAddress } from "#lib/rdma/memory-region.js";
import { IS_RECEIVE, placesOf, ReceiveRing, SendRing, type Post } from "#lib/rdma/request-ring.js";
import { Opcode, SendFlag } from "#lib/rdma/spec.js";
import { fakePost } from "../../support/fake-post.js";
import { fakeMemory } from "../../support/fake-rdma.js";

const STRIDE = 128;

/** `taken`: how many of each post the device takes; all of them without it. */
function setUp(entries = 4, taken: number[] = []) {
  const [sendMemory, receiveMemory] = [fakeMemory(4096), fakeMemory(4096)];
  const posts: [number, number][] = [];
  const post = (memory: { buffer: ArrayBuffer }): Post =>
    fakePost(memory, entries * STRIDE, (first, count) => {
      posts.push([first, count]);
      return taken.shift() ?? count;
    });
  const shape = { entries, stride: STRIDE, maxSge: 3 };
  return {
    posts,
    sends: new SendRing(sendMemory, shape, 32, post(sendMemory)),
    receives: new ReceiveRing(receiveMemory, shape, post(receiveMemory)),
    sent: new DataView(sendMemory.buffer),
    received: new DataView(receiveMemory.buffer),
  };
}

describe("A ring of requests", () => {
  it("has records as the addon reads them", () => {
    const { sends, sent } = setUp();
    const { WRITE_WITH_IMMEDIATE } = Opcode;
    const flags = SendFlag.SIGNALED | SendFlag.FENCE;
    const [local, remote] = [0x7fff_1234_5678, 0x1f_ffff_8765_4321];
    sends.write(
      7,
      WRITE_WITH_IMMEDIATE,
      flags,
      local,
      4096,
      0xffff_fff0,
      remote,
      0xabcd,
      0xfffffffe,
    );
    sends.gather(2 ** 40 + 5, 100, 9);
    assert.equal(sent.getBigUint64(0, true), 7n); // number 0, tag 7
    const words = [8, 12, 16, 20, 32].map((at) => sent.getUint32(at, true));
    assert.deepEqual(words, [WRITE_WITH_IMMEDIATE, flags, 0xfffffffe, 2, 0xabcd]);
    assert.equal(sent.getBigUint64(24, true), BigInt(remote));
    assert.equal(sent.getBigUint64(40, true), BigInt(local));
    assert.deepEqual([sent.getUint32(48, true), sent.getUint32(52, true)], [4096, 0xffff_fff0]);
    assert.equal(sent.getBigUint64(56, true), 2n ** 40n + 5n);
    assert.deepEqual([sent.getUint32(64, true), sent.getUint32(68, true)], [100, 9]);
  });

  it("has the same records where their places come from a table", () => {
    const [plain, placed] = [setUp(), setUp()];
    const local = { address: 0x7fff_1234_5000, lkey: 0xffff_fff0, stride: 4096 };
    const remote = { address: 0x1f_ffff_8765_0000, rkey: 0xabcd_ef01, stride: 8192 };
    const table = placesOf(3, local, remote);
    for (const [index, length] of [512, 0, 4096].entries()) {
      const [from, to] = [local.address + index * 4096, remote.address + index * 8192];
      plain.sends.write(7, Opcode.WRITE, 2, from, length, local.lkey, to, remote.rkey, index);
      placed.sends.writeBetween(table, index, 7, Opcode.WRITE, 2, length, index);
    }
    assert.deepEqual(placed.sent, plain.sent);
    assert.equal(placed.sends.unposted, 3);
  });

  it("has receives of one place, of several, and of none", () => {
    const { receives, received } = setUp();
    receives.write(1, 2 ** 33, 512, 3);
    receives.scatter(2 ** 34, 1024, 4);
    receives.write(2, 0, 0, 0);
    assert.equal(received.getBigUint64(0, true), (0x8000_0000n << 32n) | 1n);
    assert.equal(received.getUint32(8, true), 2);
    assert.equal(received.getBigUint64(16, true), 2n ** 33n);
    assert.equal(received.getBigUint64(32, true), 2n ** 34n);
    assert.equal(received.getBigUint64(STRIDE, true), (0x8000_0001n << 32n) | 2n);
    assert.equal(received.getUint32(STRIDE + 8, true), 0);
  });

  it("sends nothing where there is nothing to gather", () => {
    const { sends, sent } = setUp();
    sends.write(1, Opcode.WRITE_WITH_IMMEDIATE, SendFlag.SIGNALED, 0, 0, 0, 0, 0, 5);
    assert.equal(sent.getUint32(20, true), 0);
  });

  it("marks inline data, and refuses more than a request may carry", () => {
    const { sends, sent } = setUp();
    const address = (2 ** 35) as InlineAddress;
    sends.writeInline(1, Opcode.SEND, SendFlag.SIGNALED, address, 32);
    assert.equal(sent.getUint32(12, true), SendFlag.SIGNALED | 8);
    assert.throws(
      () => {
        sends.writeInline(1, Opcode.SEND, SendFlag.SIGNALED, address, 33);
      },
      { code: "BAD_ARGUMENT", message: /up to 32 bytes inline, not 33/ },
    );
    assert.equal(sends.unposted, 1);
  });

  it("refuses more places than the queue pair was made for", () => {
    const { sends, receives } = setUp();
    sends.write(1, Opcode.SEND, 0, 0, 1, 0);
    receives.write(1, 0, 1, 0);
    for (const add of [sends.gather.bind(sends), receives.scatter.bind(receives)]) {
      add(1, 1, 1);
      add(2, 1, 1);
      assert.throws(
        () => {
          add(3, 1, 1);
        },
        { code: "TOO_MANY_SEGMENTS" },
      );
    }
  });

  it("posts a batch at a time, and the rest of one that was not taken as a whole", () => {
    const { sends, posts } = setUp(8, [3, 2]);
    for (let i = 0; i < 5; i++) sends.write(i, Opcode.SEND, 0, 0, 1, 0);
    assert.deepEqual([sends.unposted, sends.inFlight, sends.room], [5, 0, 3]);
    assert.equal(sends.flush(), 0);
    assert.deepEqual(posts, [
      [0, 5],
      [3, 2],
    ]);
    assert.deepEqual([sends.unposted, sends.inFlight, sends.room], [0, 5, 3]);
    assert.equal(sends.flush(), 0);
    assert.equal(posts.length, 2);
  });

  it("keeps what was refused, and says with which errno", () => {
    const { sends } = setUp(4, [1, -22]);
    sends.write(0, Opcode.SEND, 0, 0, 1, 0);
    sends.write(1, 99, 0, 0, 1, 0);
    assert.equal(sends.flush(), -22);
    assert.deepEqual([sends.unposted, sends.inFlight], [1, 1]);
  });

  it("has room for what was asked for, though its records are a power of two", () => {
    const { sends, sent } = setUp(5);
    assert.equal(sends.room, 5);
    for (let i = 0; i < 9; i++) {
      sends.write(100 + i, Opcode.SEND, 0, 0, 1, 0);
      sends.flush();
      sends.completed(i);
    }
    assert.equal(sent.getUint32(7 * STRIDE, true), 107);
    assert.equal(sent.getUint32(0, true), 108); // the ninth is the first again
  });

  it("is freed up to the request that completed, silent ones before it included", () => {
    const { sends, receives } = setUp();
    for (const ring of [sends, receives] as const) {
      for (let i = 0; i < 4; i++)
        if (ring === sends) sends.write(i, Opcode.SEND, 0, 0, 1, 0);
        else receives.write(i, 0, 1, 0);
      ring.flush();
      assert.equal(ring.room, 0);
      ring.completed(ring === receives ? 2 + IS_RECEIVE : 2);
      assert.deepEqual([ring.room, ring.inFlight], [3, 1]);
    }
  });

  it("repeats what its record bore before, under a new number", () => {
    const { sends, sent } = setUp();
    for (let i = 0; i < 4; i++) sends.write(7, Opcode.WRITE, 2, 4096 + i, 64, 5, 2 ** 40 + i, 6);
    const records = new Uint8Array(sent.buffer.slice(0, 4 * STRIDE));
    sends.flush();
    sends.completed(3);
    for (let i = 0; i < 4; i++) sends.repeat();
    assert.deepEqual([sends.records, sends.unposted, sends.room], [4, 4, 0]);
    const words = new DataView(records.buffer);
    for (let i = 0; i < 4; i++) words.setUint32(i * STRIDE + 4, 4 + i, true);
    assert.deepEqual(new Uint8Array(sent.buffer.slice(0, 4 * STRIDE)), records);
  });

  it("goes on when its numbers begin again after 31 bits", () => {
    const { sends, receives, posts, received } = setUp();
    const last = 0x7fff_ffff;
    for (const ring of [sends, receives]) {
      // As if so many had gone before.
      Object.assign(ring, { tail: last });
      ring.completed(last - 1);
      posts.length = 0;
      assert.equal(ring.room, 4);
    }
    receives.write(1, 0, 1, 0);
    assert.equal(received.getUint32(3 * STRIDE + 4, true), 0xffff_ffff);
    receives.completed(0xffff_ffff);
    assert.equal(receives.room, 4);
    receives.write(2, 0, 1, 0);
    assert.equal(received.getUint32(4, true), IS_RECEIVE);
    sends.write(1, Opcode.SEND, 0, 0, 1, 0);
    sends.write(2, Opcode.SEND, 0, 0, 1, 0);
    assert.equal(sends.room, 2);
    sends.completed(last);
    sends.completed(0);
    assert.equal(sends.room, 4);
  });
});
