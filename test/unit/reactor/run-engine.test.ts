import assert from "node:assert/strict";
import { runEngine } from "#lib/reactor/run-engine.js";
import { StartGate } from "#lib/reactor/start-gate.js";

describe("an engine's run on its thread", () => {
  const gates = (): { gate: StartGate; rampGate: StartGate } => ({
    gate: StartGate.create(2),
    rampGate: StartGate.create(2),
  });

  it("leaves the gates to their owner where it fails, who first tells the others to stop", () => {
    const { gate, rampGate } = gates();
    const closed: string[] = [];
    assert.throws(
      () =>
        runEngine({ cpu: null, gate: gate.buffer, rampGate: rampGate.buffer }, (open) => {
          open({ close: () => closed.push("queue") });
          throw new RangeError("no memory");
        }),
      RangeError,
    );
    assert.deepEqual([gate.missing, rampGate.missing], [2, 2]);
    assert.deepEqual(closed, ["queue"]);
  });

  it("passes the gates with the others", () => {
    const { gate, rampGate } = gates();
    // The other one has come.
    for (const { buffer } of [gate, rampGate]) Atomics.sub(new Int32Array(buffer), 0, 1);
    const outcome = runEngine(
      { cpu: null, gate: gate.buffer, rampGate: rampGate.buffer },
      (_open, thread) => ({
        run: () => {
          assert.deepEqual([gate.missing, rampGate.missing], [0, 1]);
          thread.rampEnded();
          return rampGate.missing;
        },
      }),
    );
    assert.equal(outcome, 0);
  });
});
