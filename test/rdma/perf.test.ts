/** `p2pmem rdma` by the library, with both sides in this process: on the loopback machine, and on rxe. */
import assert from "node:assert/strict";
import { defaultsOf, MEASURES, VERBS } from "#lib/rdma-perf/plan.js";
import { runRdmaPerf } from "#lib/rdma-perf/rdma-perf.js";
import { Session } from "#lib/session.js";
import { isLab } from "./machine.js";

describe("an RDMA test with both sides in one process", function () {
  this.timeout(120_000);
  let session: Session;

  before(async () => {
    session = await Session.open(isLab ? { platform: "vfio" } : { machine: "rdma" });
  });
  after(async () => {
    await session.close();
  });

  for (const verb of VERBS)
    for (const measure of MEASURES)
      it(`measures ${verb} ${measure}, and the data is right`, async () => {
        const plan = { ...defaultsOf(verb, measure), sizes: [64, 5000], iterations: 20 };
        const { results, serverResults } = await runRdmaPerf(session, {
          plan,
          device: session.rdmaDevice(),
          other: { kind: "in-process" },
          memory: { kind: "host" },
        });
        for (const { measured } of [...results, ...serverResults!])
          assert.equal(measured.messages, 20);
        const receiver = verb === "read" ? results : serverResults!;
        assert.deepEqual(
          receiver.map(({ size, verified }) => [size, verified]),
          [
            [64, true],
            [5000, true],
          ],
        );
      });

  it("ends a server that was interrupted before it listened, or while it begins to", async () => {
    const controller = new AbortController();
    const serve = (signal: AbortSignal) =>
      runRdmaPerf(session, {
        plan: defaultsOf("write", "bw"),
        device: session.rdmaDevice(),
        other: { kind: "client", port: 0 },
        memory: { kind: "host" },
        signal,
      });
    await assert.rejects(serve(AbortSignal.abort()), { code: "INTERRUPTED" });
    const serving = serve(controller.signal);
    controller.abort();
    await assert.rejects(serving, { code: "INTERRUPTED" });
  });
});
