/** RDMA tests by the library on the loopback machine, where memory can be taken from under them. */
import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { defaultsOf, type Verb } from "#lib/rdma-perf/plan.js";
import { runRdmaPerf } from "#lib/rdma-perf/rdma-perf.js";
import { Session } from "#lib/session.js";

const CARD = "0000:05:00.0";
const NIC = "0000:06:00.0";

describe("an RDMA test", () => {
  let session: Session;
  beforeEach(async () => {
    session = await Session.open({ machine: "rdma" });
  });
  afterEach(async () => {
    await session.close();
  });

  it("in the NIC's own memory, all of it, gives that back, and hears of its end", async () => {
    const provider = await session.provider(`${NIC}/dm`);
    const run = (size: number, iterations: number) =>
      runRdmaPerf(session, {
        plan: { ...defaultsOf("write", "bw"), sizes: [size], iterations },
        device: session.rdmaDevice(),
        other: { kind: "in-process" },
        memory: { kind: "p2pmem", provider },
      });
    await run(provider.size / 4, 5);
    assert.equal(provider.pool.largestFree, provider.size);
    setTimeout(() => {
      provider.revokeInBackground(new P2pError("DEVICE_GONE", "somebody pulled it"));
    }, 300);
    await assert.rejects(run(4096, 100_000_000), { code: "REVOKED", device: NIC });
    await provider.close();
  });

  for (const verb of ["write", "read", "send"] satisfies Verb[])
    it(`of ${verb} says that its memory was revoked, and gives back all that it had`, async () => {
      const provider = await session.provider(CARD);
      const free = provider.pool.largestFree;
      let isRevoked = false;
      const running = runRdmaPerf(session, {
        plan: { ...defaultsOf(verb, "bw"), sizes: [4096], iterations: 100_000_000 },
        device: session.rdmaDevice(),
        other: { kind: "in-process" },
        memory: { kind: "p2pmem", provider },
      });
      const revoke = setTimeout(() => {
        isRevoked = true;
        provider.revokeInBackground(new P2pError("DEVICE_GONE", "somebody pulled it"));
      }, 300);
      try {
        await assert.rejects(running, { code: "REVOKED", device: CARD });
      } finally {
        clearTimeout(revoke);
      }
      assert.ok(isRevoked);
      await provider.close();
      const again = await session.provider(CARD);
      assert.equal(again.pool.largestFree, free);
    });

  for (const [index, role] of ["client", "server"].entries())
    it(`ends when its ${role} finds no thread to run in, and says so`, async () => {
      const withReactor = session.withReactor.bind(session);
      let sides = 0;
      session.withReactor = (use) =>
        sides++ === index ? Promise.reject(new Error("EAGAIN")) : withReactor(use);
      const running = runRdmaPerf(session, {
        plan: { ...defaultsOf("write", "bw"), iterations: 5 },
        device: session.rdmaDevice(),
        other: { kind: "in-process" },
        memory: { kind: "host" },
      });
      await assert.rejects(running, { message: "EAGAIN" });
    });
});
