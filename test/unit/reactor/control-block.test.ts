import assert from "node:assert/strict";
import { ControlBlock } from "#lib/reactor/control-block.js";

describe("the control block", () => {
  it("tells each report whole, with the largest identifiers, beside the losses and the progress", () => {
    const control = ControlBlock.create(3);
    assert.equal(control.overdue, null);
    for (const [n, [queue, commandId]] of [
      [0, 0],
      [2, 0xffff],
      [300, 0x8000],
    ].entries()) {
      control.report(queue!, commandId!);
      const reader = new ControlBlock(control.buffer);
      assert.deepEqual(reader.overdue, { queue, commandId, report: n + 1 });
      control.withdraw();
      assert.equal(reader.overdue, null);
    }
    control.lose(2);
    control.bytes = 2 ** 53;
    assert.deepEqual(
      [0, 1, 2].map((queue) => control.isLost(queue)),
      [false, false, true],
    );
    assert.equal(control.overdue, null);
    assert.deepEqual([control.isStopping, control.losses, control.bytes], [false, 1, 2 ** 53]);
  });

  it("shows a queue and a command of one report, never halves of two", () => {
    const control = ControlBlock.create(2);
    control.report(0, 7);
    const { load } = Atomics;
    try {
      // The reactor reports another one between any two loads of the owner.
      Atomics.load = ((words: Int32Array, index: number) => {
        const value = load(words, index);
        control.report(1, 9);
        return value;
      }) as typeof load;
      const { overdue } = control;
      assert.ok(overdue?.queue === 0 ? overdue.commandId === 7 : overdue?.commandId === 9);
    } finally {
      Atomics.load = load;
    }
  });
});
