import assert from "node:assert/strict";
import { withFakeClock } from "../../support/fake-clock.js";
import { Model, type Command } from "./engine-model.js";

/** NVMe 1.4 §4.6.1.2.1. */
const COMMAND_ABORT_REQUESTED = 0x07;

/** Long, as most looks come after thousands of polls; short against the timeouts below. */
const LOOK_NS = 1e6;

/** Holds one command of the first queue until it is reported; `reported`: each that was. */
function holdOne({ queues, control }: Model): { late: () => Command | null; reported: number[] } {
  const [queue] = queues;
  const reported: number[] = [];
  let late: Command | null = null;
  let report = 0;
  queue!.holds = (command) => {
    if (queue!.log.length < 20) return false;
    late ??= command;
    const { overdue } = control;
    if (overdue !== null && overdue.report !== report) {
      report = overdue.report;
      reported.push(overdue.commandId);
    }
    return command === late && reported.length === 0;
  };
  return { late: () => late, reported };
}

describe("the perf engine, where commands are late", () => {
  it("asks its owner to see to a command that is late, and says which when it was aborted", () => {
    const model = new Model({ lanes: [1], runtimeNs: 1e12, timeoutNs: 200e6 });
    const [queue] = model.queues;
    const { late, reported } = holdOne(model);
    queue!.perform = (command) => (command === late() ? COMMAND_ABORT_REQUESTED : 0);
    const { failure } = withFakeClock(LOOK_NS, () => model.run());
    const { lba, blocks, cookie } = late()!;
    assert.deepEqual(reported, [cookie]);
    assert.equal(model.control.overdue, null, "its end is told, so that nobody ends it once more");
    assert.deepEqual(failure, { kind: "timeout", queue: 0, command: "Read", lba, blocks });
    model.assertDrained();
  });

  for (const lanes of [[1], [4]])
    it(`goes on where a command of ${lanes.join(" + ")} was late but has completed`, () => {
      const model = new Model({ lanes, runtimeNs: 1e12, timeoutNs: 200e6 });
      const { late, reported } = holdOne(model);
      for (const queue of model.queues)
        queue.polled = () => {
          if (model.log.length >= 200) model.control.stop();
        };
      const { failure } = withFakeClock(LOOK_NS, () => model.run());
      assert.equal(failure, null);
      assert.deepEqual(reported, [late()!.cookie]);
      assert.equal(model.control.overdue, null);
      assert.ok(model.log.length >= 200, `${model.log.length} commands`);
      assert.equal(model.count, model.log.length);
      model.assertDrained();
    });

  it("tells the command that was late, though its end took another queue first", () => {
    const model = new Model({ lanes: [1, 1], runtimeNs: 1e12, timeoutNs: 200e6 });
    const [other, stuck] = model.queues;
    stuck!.holds = () => true;
    let polls = 0;
    other!.polled = () => {
      // As a reset of their controller does it: the one that is recovered is told of last.
      if (model.control.overdue?.queue !== 1) return;
      if (polls++ === 0) model.control.lose(0);
      else if (model.control.losses === 1 && polls > 2e4) model.control.lose(1);
    };
    stuck!.polled = other!.polled;
    const { failure } = withFakeClock(LOOK_NS, () => model.run());
    const { lba, blocks } = stuck!.log[0]!;
    assert.deepEqual(failure, { kind: "timeout", queue: 1, command: "Read", lba, blocks });
  });
});
