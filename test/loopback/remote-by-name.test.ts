/** Serving and copying between machines as a program does that uses the library. */
import assert from "node:assert/strict";
import { remoteCopy, serve, Session, type CopyServer } from "#lib/index.js";
import { fill, hashOf, KIB } from "../support/streams.js";

const [SOURCE, SERVED] = ["0000:03:00.0", "0000:04:00.0"];
const SIZE = 256 * KIB;
const key = Buffer.from("0123456789abcdef");

describe("serve() and remoteCopy()", () => {
  let session: Session;
  let server: CopyServer | undefined;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 5 });
  });
  afterEach(async () => {
    await server?.close();
    server = undefined;
    await session.close();
  });

  it("copy in either direction, with a key, and say what both ends did", async () => {
    server = await serve(session, {
      ...{ exports: [`scratch=${SERVED}@1m`], port: 0, key, allowWrite: true, nic: { port: 2 } },
    });
    const there = `rdma://127.0.0.1:${server.port}/scratch`;
    const rest = { size: "256k", bs: "16k", key, nic: { port: 1 } };
    await fill(session, SOURCE, SIZE, 3);
    const pushed = await remoteCopy(session, { src: SOURCE, dst: there, ...rest });
    assert.equal(await hashOf(session, `${SERVED}@1m`, SIZE), await hashOf(session, SOURCE, SIZE));
    assert.deepEqual([pushed.bytes, pushed.src, pushed.dst], [SIZE, `${SOURCE}/1`, there]);
    assert.deepEqual(pushed.verify, { mode: "crc32c", blocks: 16, mismatches: 0 });
    await fill(session, `${SERVED}@1m`, SIZE, 4);
    const pulled = await remoteCopy(session, { src: there, dst: SOURCE, ...rest, verify: false });
    assert.equal(await hashOf(session, `${SERVED}@1m`, SIZE), await hashOf(session, SOURCE, SIZE));
    assert.equal(pulled.verify, null);
    const [src, dst] = [SOURCE, there];
    await assert.rejects(remoteCopy(session, { src, dst, nic: { port: 1 } }), { code: "BAD_KEY" });
  });

  it("refuse what cannot be served or copied, before anything is done", async () => {
    const exports = [SERVED];
    await assert.rejects(serve(session, { exports, host: "0.0.0.0" }), {
      code: "BAD_ARGUMENT",
      hint: /library: key/,
    });
    for (const [wrong, code] of [
      [{ exports: [`${SERVED}/7`] }, "NO_NAMESPACE"],
      [{ exports: [`${SERVED}@1m+1t`] }, "BAD_RANGE"],
      [{ exports: [SERVED, SERVED] }, "BAD_ARGUMENT"],
      [{ exports, nic: { device: "none" } }, "UNKNOWN_DEVICE"],
      [{ exports, peerTimeout: 1 }, "BAD_ARGUMENT"],
    ] as const)
      await assert.rejects(serve(session, { port: 0, ...wrong }), { code });
    for (const [src, dst] of [
      [SOURCE, SERVED],
      ["rdma://a/b", "rdma://c/d"],
    ] as const)
      await assert.rejects(remoteCopy(session, { src, dst }), {
        code: "BAD_ARGUMENT",
        hint: /copy\(\) copies within one/,
      });
  });
});
