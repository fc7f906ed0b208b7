import assert from "node:assert/strict";
import { READ_QUEUE, WRITE_QUEUE } from "#lib/copy/job.js";
import type { CopyOutcome } from "#lib/copy/job.js";
import { P2pError } from "#lib/errors.js";
import type { OverdueCommand } from "#lib/reactor/control-block.js";
import {
  FIRST_DESTINATION_UNIT,
  FIRST_SOURCE_UNIT,
  Model,
  plain,
  randomFrom,
  type ModelQueue,
} from "../../support/copy-model.js";

const ABORT_REQUESTED = 0x07;
const SQ_DELETED = 0x08;

/** Units of the range's last command but some, on either side. */
const LATE = 17 * plain.blockUnits + 16;
const SIDES = [
  { title: "read", command: "Read", queue: READ_QUEUE, first: FIRST_SOURCE_UNIT },
  { title: "write", command: "Write", queue: WRITE_QUEUE, first: FIRST_DESTINATION_UNIT },
] as const;
const shape = { ...plain, destinationCommandUnits: 8 };

/** A run whose commands may take 20 ms, and an owner that sees to those that are reported. */
class Run {
  readonly model: Model;
  readonly reports: OverdueCommand[] = [];
  /** Commands that had been submitted when the first report came. */
  submitted = 0;

  constructor(see: (report: OverdueCommand) => void) {
    this.model = new Model(shape, randomFrom(29), null, () => {
      const { overdue } = this.model.control;
      if (overdue === null || overdue.report === this.reports.at(-1)?.report) return;
      if (this.reports.length === 0) this.submitted = this.count();
      this.reports.push(overdue);
      see(overdue);
    });
    this.model.job.read.timeoutNs = this.model.job.write.timeoutNs = 20e6;
  }

  queue(index: number): ModelQueue {
    return index === READ_QUEUE ? this.model.read : this.model.write;
  }

  count(): number {
    const { read, write } = this.model;
    return read.taken + read.outstanding + write.taken + write.outstanding;
  }

  run(): CopyOutcome {
    return this.model.run();
  }
}

describe("the copy engine in trouble", () => {
  for (const { title, command, queue, first } of SIDES) {
    const unit = first + LATE;
    const timeout = { kind: "timeout", queue, command, lba: unit, blocks: 8 };

    it(`goes on where a ${title} was late but has completed, each block once`, () => {
      const run = new Run(({ commandId }) => {
        run.queue(queue).release(commandId);
      });
      run.queue(queue).stuck.add(unit);
      const outcome = run.run();
      assert.equal(outcome.failure, null);
      assert.equal(outcome.blocks, shape.blocks);
      run.model.assertCopied(shape.blocks * shape.blockUnits);
      run.model.assertDrained();
      assert.deepEqual(
        run.reports.map((report) => report.queue),
        [queue],
      );
      assert.equal(run.model.handoff.moved.length, shape.blocks);
    });

    it(`submits nothing from the report of a ${title} on, and names it once it was aborted`, () => {
      const run = new Run(({ commandId }) => {
        run.queue(queue).release(commandId, ABORT_REQUESTED);
      });
      run.queue(queue).stuck.add(unit);
      const outcome = run.run();
      assert.deepEqual(outcome.failure, timeout);
      assert.ok(outcome.blocks > 0 && outcome.blocks < shape.blocks);
      assert.equal(run.count(), run.submitted);
      run.model.assertDrained();
    });

    it(`gives a ${title} that fails late the status that it has`, () => {
      const run = new Run(({ commandId }) => {
        run.queue(queue).release(commandId, 0x281);
      });
      run.queue(queue).stuck.add(unit);
      assert.deepEqual(run.run().failure, { ...timeout, kind: "status", status: 0x281 });
    });

    it(`waits for the other side alone once the queue of a ${title} is lost`, () => {
      const run = new Run((report) => {
        run.model.control.lose(report.queue);
      });
      run.queue(queue).stuck.add(unit);
      const outcome = run.run();
      assert.deepEqual(outcome.failure, timeout);
      assert.equal(run.count(), run.submitted);
      assert.ok(run.queue(1 - queue).idle, "the other queue has drained");
      assert.ok(run.queue(queue).outstanding > 0);
    });

    it(`tells the ${title} that was late, though its end took the other queue first`, () => {
      let looks = 0;
      const run = new Run((report) => {
        // As a reset of their one controller does it: the one that is recovered is told of last.
        run.model.control.lose(1 - report.queue);
        run.model.read.polled = () => {
          if (++looks === 2e4) run.model.control.lose(report.queue);
        };
        run.model.write.polled = run.model.read.polled;
      });
      run.queue(queue).stuck.add(unit);
      assert.deepEqual(run.run().failure, timeout);
    });

    it(`takes what the deletion of a queue ends for the ${title} that it was deleted for`, () => {
      const run = new Run(({ commandId }) => {
        for (const id of [...others, commandId]) run.queue(queue).release(id, SQ_DELETED);
      });
      const others: number[] = [];
      const stuck = run.queue(queue);
      stuck.stuck.add(unit);
      const next = stuck.next.bind(stuck);
      stuck.next = () => {
        const cookie = next();
        // One of its own block, next to it, is stuck as well.
        const beside = stuck.hanging.find((command) => command.unit === unit + 8);
        if (beside !== undefined && others.length === 0) others.push(stuck.idOf(beside));
        return cookie;
      };
      stuck.stuck.add(unit + 8);
      assert.deepEqual(run.run().failure, timeout);
      assert.equal(others.length, 1);
      run.model.assertDrained();
    });
  }

  it("reports two that are late one after the other, and copies each block once", () => {
    const run = new Run(({ queue, commandId }) => {
      run.queue(queue).release(commandId);
    });
    run.model.read.stuck.add(FIRST_SOURCE_UNIT + LATE);
    run.model.read.stuck.add(FIRST_SOURCE_UNIT + LATE + 8);
    run.model.write.stuck.add(FIRST_DESTINATION_UNIT);
    const outcome = run.run();
    assert.equal(outcome.failure, null);
    assert.equal(outcome.blocks, shape.blocks);
    run.model.assertCopied(shape.blocks * shape.blockUnits);
    assert.deepEqual(run.reports.map(({ queue }) => queue).sort(), [
      READ_QUEUE,
      READ_QUEUE,
      WRITE_QUEUE,
    ]);
  });

  it("reports a command again that is still there after it was seen to", () => {
    const run = new Run(({ queue, commandId }) => {
      if (run.reports.length === 3) run.queue(queue).release(commandId);
    });
    run.model.read.stuck.add(FIRST_SOURCE_UNIT + LATE);
    assert.equal(run.run().blocks, shape.blocks);
    const [one, two, three] = run.reports;
    assert.deepEqual([two!.commandId, three!.commandId], [one!.commandId, one!.commandId]);
  });

  it("notices a command that is late while others come and go", () => {
    const model = new Model(shape, randomFrom(31), 20e9, () => {
      model.control.stop();
      const { overdue } = model.control;
      if (overdue !== null) model.read.release(overdue.commandId);
    });
    model.job.read.timeoutNs = model.job.write.timeoutNs = 20e6;
    model.read.stuck.add(FIRST_SOURCE_UNIT);
    const { beganNs, endedNs, blocks, failure } = model.run();
    assert.equal(failure, null);
    assert.ok(blocks > 100, `${blocks} blocks meanwhile`);
    assert.ok(endedNs - beganNs < 10e9, "long before the time is over");
    model.assertDrained();
  });

  for (const { title, queue } of SIDES)
    it(`drains the other side where the ${title} queue is lost, and writes nothing more`, () => {
      const model = new Model(shape, randomFrom(37));
      const writes: number[] = [];
      const submit = model.write.submit.bind(model.write);
      model.write.submit = (...words) => {
        submit(...words);
        writes.push(model.write.taken);
        if (writes.length === 40) model.control.lose(queue);
      };
      const lost = queue === READ_QUEUE ? model.read : model.write;
      const next = lost.next.bind(lost);
      lost.next = () => (model.control.losses > 0 ? -1 : next());
      const outcome = model.run();
      assert.deepEqual(outcome.failure, { kind: "lost", queue });
      const other = queue === READ_QUEUE ? model.write : model.read;
      assert.ok(other.idle);
      assert.ok(outcome.blocks < shape.blocks);
    });

  for (const { title, queue } of SIDES)
    it(`trusts the ${title} queue no more after a bad completion, and drains the other`, () => {
      const model = new Model(shape, randomFrom(17));
      const broken = queue === READ_QUEUE ? model.read : model.write;
      const next = broken.next.bind(broken);
      broken.next = () => {
        if (broken.taken < 10) return next();
        broken.fault = new P2pError("BAD_COMPLETION", "command id 77", { hint: "reset" });
        return -1;
      };
      const [message, hint] = ["command id 77", "reset"];
      assert.deepEqual(model.run().failure, { kind: "fault", queue, message, hint });
      assert.ok((queue === READ_QUEUE ? model.write : model.read).idle);
    });

  it("drains where blocks cannot be passed on, and does not write them", () => {
    const model = new Model(shape, randomFrom(41));
    const move = model.handoff.move.bind(model.handoff);
    model.handoff.move = (slots, count) => {
      if (model.handoff.moved.length > 10)
        throw new P2pError("DEVICE_GONE", "the peer", { hint: "look" });
      move(slots, count);
    };
    const { failure, blocks } = model.run();
    assert.deepEqual(failure, {
      ...{ kind: "error", code: "DEVICE_GONE", message: "the peer", hint: "look" },
    });
    assert.equal(blocks, model.handoff.moved.length);
    model.assertDrained();
  });

  it("that is halted lets what is in flight finish, and writes nothing of what it reads then", () => {
    const model = new Model(shape, randomFrom(43));
    const submit = model.write.submit.bind(model.write);
    let after = 0;
    model.write.submit = (...words) => {
      submit(...words);
      if (model.control.isHalting) after++;
    };
    const ring = model.write.ring.bind(model.write);
    let rings = 0;
    model.write.ring = () => {
      ring();
      if (++rings === 5) model.control.halt();
    };
    const { failure, blocks } = model.run();
    assert.equal(failure, null);
    assert.equal(after, 0);
    assert.ok(blocks < shape.blocks);
    model.assertDrained();
  });
});
