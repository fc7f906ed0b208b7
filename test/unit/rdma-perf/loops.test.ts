import assert from "node:assert/strict";
import type { RdmaPerfJob } from "#lib/rdma-perf/job.js";
import { Receiver } from "#lib/rdma-perf/loops/receiver.js";
import { SendTurns } from "#lib/rdma-perf/loops/send-turns.js";
import { Sender } from "#lib/rdma-perf/loops/sender.js";
import { ReadTurns } from "#lib/rdma-perf/loops/turns.js";
import { WriteTurns } from "#lib/rdma-perf/loops/write-turns.js";
import type { InlineAddress } from "#lib/rdma/memory-region.js";
import { Opcode, SendFlag } from "#lib/rdma/spec.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import { StartGate } from "#lib/reactor/start-gate.js";
import { engineThread } from "../../support/engine-thread.js";
import { UNSETTLED } from "#lib/rdma-perf/plan.js";
import { CompletionQueueModel, QueuePairModel } from "./queue-model.js";

const SIZE = 64;

describe("the loops of RDMA tests", () => {
  let control: ControlBlock;
  let completions: CompletionQueueModel;
  let received: CompletionQueueModel;
  let pair: QueuePairModel;

  beforeEach(() => {
    control = ControlBlock.create(1);
    completions = new CompletionQueueModel();
    received = new CompletionQueueModel();
    pair = new QueuePairModel(completions, received);
  });

  const jobOf = (changes: Partial<RdmaPerfJob> = {}): RdmaPerfJob => ({
    kind: "send",
    opcode: Opcode.WRITE,
    size: SIZE,
    lanes: [0, 1].map((lane) => ({
      // Nobody opens it here.
      queuePair: {} as RdmaPerfJob["lanes"][number]["queuePair"],
      ...{
        local: 0x10_000 * lane,
        inline: null,
        receive: 0x8_0000,
        lkey: 1,
        remote: 0x100_0000,
        rkey: 2,
      },
    })),
    sendCompletions: {} as RdmaPerfJob["sendCompletions"],
    receiveCompletions: null,
    polled: null,
    begins: true,
    warmUp: 0,
    iterations: 20,
    durationNs: null,
    sends: 8,
    receives: 6,
    cqMod: 4,
    keepsTimes: true,
    timeoutNs: 1e9,
    yieldAfter: 0,
    control: control.buffer,
    gate: StartGate.create(1).buffer,
    cpu: null,
    ...changes,
  });

  const sender = (changes: Partial<RdmaPerfJob> = {}, lanes = [pair]): Sender =>
    new Sender(
      jobOf(changes),
      lanes.map((queuePair) => ({ queuePair })),
      completions,
      engineThread(),
    );

  describe("one that keeps requests in flight", () => {
    it("posts as many as the depth has room for in one call, and each so many-th tells", () => {
      const { messages, failure, posted, completed, sent } = sender().run();
      assert.deepEqual([messages, failure, sent], [20, null, 20]);
      assert.equal(pair.posted.length, 20);
      assert.equal(pair.mostInFlight, 8);
      // 8 at once, whose completions come together.
      assert.equal(pair.flushes, 3);
      const signaled = pair.posted.flatMap(({ flags }, n) =>
        (flags & SendFlag.SIGNALED) === 0 ? [] : [n + 1],
      );
      assert.deepEqual(signaled, [4, 8, 12, 16, 20]);
      const taken = (times: Float64Array | null): number[] =>
        [...times!].flatMap((time, n) => (Number.isNaN(time) ? [] : [n]));
      assert.deepEqual(taken(posted), [0, 8, 16]);
      assert.deepEqual(taken(completed), [7, 15, 19]);
    });

    it("goes through a page with small messages, and stays where it is with large ones", () => {
      sender({ size: 1000, iterations: 5 }).run();
      const places = pair.posted.map(({ address, remote }) => [address, remote - 0x100_0000]);
      assert.deepEqual(places, [
        [0, 0],
        [1024, 1024],
        [2048, 2048],
        [3072, 3072],
        [0, 0],
      ]);
      const large = new QueuePairModel(completions);
      sender({ size: 4096, iterations: 5 }, [large]).run();
      assert.ok(large.posted.every(({ address }) => address === 0));
    });

    it("warms up before, and counts none of that", () => {
      const { messages, posted, sent } = sender({ warmUp: 6 }).run();
      assert.deepEqual([messages, posted!.length, pair.posted.length, sent], [20, 20, 26, 26]);
      // All of the warm-up have ended before the first that counts.
      assert.ok((pair.posted[5]!.flags & SendFlag.SIGNALED) !== 0);
      assert.equal(pair.posted[6]!.address, 6 * SIZE, "it goes on through the page");
    });

    it("drives several lanes, each with a depth of its own", () => {
      const second = new QueuePairModel(completions);
      completions.most = 1;
      const { messages } = sender({}, [pair, second]).run();
      assert.equal(messages, 40);
      for (const [lane, { posted, mostInFlight }] of [pair, second].entries()) {
        assert.deepEqual([posted.length, mostInFlight], [20, 8]);
        assert.ok(posted.every(({ tag }) => tag === lane));
        assert.ok(posted.every(({ address }) => address >= 0x10_000 * lane));
      }
    });

    it("takes what is inline from where the CPU finds it", () => {
      const job = jobOf();
      job.lanes[0]!.inline = 0x5000 as InlineAddress;
      new Sender(job, [{ queuePair: pair }], completions, engineThread()).run();
      assert.ok(pair.posted.every(({ isInline }) => isInline));
      assert.equal(pair.posted[3]!.address, 0x5000 + 3 * SIZE);
    });

    it("ends by time with nothing in flight, and counts the middle of it", () => {
      const began = performance.now();
      const { messages, runtimeNs, failure } = sender({
        ...{ iterations: null, durationNs: 40e6, keepsTimes: false },
      }).run();
      const tookMs = performance.now() - began;
      assert.equal(failure, null);
      assert.ok(tookMs >= 40, `${tookMs}`);
      assert.ok(runtimeNs > 0 && runtimeNs < 1e6 * tookMs, `${runtimeNs} ns of ${tookMs} ms`);
      assert.ok(messages > 0 && messages < pair.posted.length);
      assert.ok((pair.posted.at(-1)!.flags & SendFlag.SIGNALED) !== 0);
      assert.equal(pair.sends.inFlight, 0);
    });

    it("ends with the first that fails", () => {
      pair.failsAt = 12;
      const { failure, posted, completed } = sender().run();
      assert.deepEqual(failure, {
        ...{ kind: "status", status: 10, vendorError: 7, isReceive: false },
      });
      assert.deepEqual([posted, completed], [null, null], "nobody wants its times");
    });

    it("does not wait for ever", () => {
      pair.isSilent = true;
      const { failure } = sender({ timeoutNs: 5e6 }).run();
      assert.deepEqual(failure, { kind: "timeout" });
    });

    it("stops when its owner says so, also while requests complete", () => {
      pair.onSend = () => {
        if (pair.posted.length === 100) control.stop();
      };
      const { failure } = sender({ iterations: 1e6, keepsTimes: false }).run();
      assert.deepEqual(failure, { kind: "stopped" });
      assert.ok(pair.posted.length < 120);
    });
  });

  describe("one that receives", () => {
    const receiver = (changes: Partial<RdmaPerfJob>, onIdle: () => void): Receiver =>
      new Receiver(
        jobOf({ kind: "receive", ...changes }),
        [{ queuePair: pair }],
        received,
        engineThread(onIdle),
      );

    it("has posted its receives before it runs, and as many as there are messages in all", () => {
      let sent = 0;
      const loop = receiver({ warmUp: 5 }, () => {
        for (let i = 0; i < 3 && sent < 25; i++, sent++) pair.arrive();
      });
      assert.equal(pair.receivesPosted.length, 6);
      const { messages, failure } = loop.run();
      assert.deepEqual([messages, failure], [20, null]);
      assert.equal(pair.receivesPosted.length, 25);
      assert.ok(pair.receivesPosted.every(({ address }) => address >= 0x8_0000));
    });

    it("begins with the end of the warm-up, not with the first that counts", () => {
      const batches = [5, 20];
      const loop = receiver({ warmUp: 5, receives: 25 }, () => {
        const until = performance.now() + 20;
        while (performance.now() < until);
        const batch = batches.shift() ?? 0;
        for (let i = 0; i < batch; i++) pair.arrive();
      });
      const { messages, runtimeNs } = loop.run();
      // What came in the second batch took the time that it had to be waited for.
      assert.ok(messages === 20 && runtimeNs >= 15e6, `${messages} in ${runtimeNs} ns`);
    });

    it("posts no more than all of them, of a short test", () => {
      receiver({ iterations: 5 }, () => undefined);
      assert.equal(pair.receivesPosted.length, 5);
    });

    it("ends well when it is told that a test by time is over", () => {
      const began = performance.now();
      // Some come in any case, however long this thread has to wait for a processor.
      let late = 0;
      const loop = receiver({ iterations: null, durationNs: 100e6, keepsTimes: false }, () => {
        if (performance.now() - began < 150 || late++ < 3) pair.arrive();
        else control.stop();
      });
      const { messages, runtimeNs, failure } = loop.run();
      assert.equal(failure, null);
      assert.ok(messages > 0 && runtimeNs > 0, `${runtimeNs}`);
    });

    it("has stopped where that came too early", () => {
      const loop = receiver({ iterations: null, durationNs: 1e9 }, () => {
        control.stop();
      });
      assert.deepEqual(loop.run().failure, { kind: "stopped" });
    });
  });

  describe("turns", () => {
    const turns = { warmUp: 3, iterations: 7, cqMod: 1, sends: 1 };

    it("of reads keep one in flight, and when each was posted", () => {
      const { messages, posted, runtimeNs } = new ReadTurns(
        jobOf({ ...turns, kind: "read", opcode: Opcode.READ }),
        pair,
        completions,
        engineThread(),
      ).run();
      assert.deepEqual([messages, posted!.length, pair.mostInFlight], [7, 7, 1]);
      assert.equal(pair.posted.length, 10);
      assert.ok(posted!.every((time, n) => n === 0 || time > posted![n - 1]!));
      assert.ok(runtimeNs >= posted![6]! - posted![0]!);
    });

    /** The other side: answers what was sent, or begins. */
    const sendTurns = (begins: boolean, changes: Partial<RdmaPerfJob> = {}): SendTurns => {
      let arrived = 0;
      return new SendTurns(
        jobOf({ ...turns, kind: "ping-pong-send", opcode: Opcode.SEND, begins, ...changes }),
        pair,
        completions,
        received,
        engineThread(() => {
          if (arrived < pair.posted.length + (begins ? 0 : 1)) {
            arrived++;
            pair.arrive();
          }
        }),
      );
    };

    for (const begins of [true, false])
      it(`of messages go to and fro, ${begins ? "this side first" : "the other side first"}`, () => {
        const { messages, failure } = sendTurns(begins, { receives: 2 }).run();
        assert.deepEqual([messages, failure], [7, null]);
        assert.equal(pair.posted.length, 10);
        assert.equal(pair.receivesPosted.length, 10);
        // Whether they have completed is looked for when there are some.
        assert.equal(pair.mostInFlight, 10);
        assert.equal(pair.sends.inFlight, 0);
      });

    it("by time are answered until the side that began says that it is over", () => {
      const durationNs = 1e6;
      let ended = -1;
      pair.onSend = () => {
        if (pair.posted.length === 5000) {
          ended = performance.now();
          control.stop();
        }
      };
      const began = performance.now();
      const { failure } = sendTurns(false, { iterations: null, durationNs, receives: 2 }).run();
      assert.equal(failure, null);
      // Long after its own time.
      assert.ok(pair.posted.length >= 5000 && ended - began > 1, `${pair.posted.length}`);
    });

    it("of messages look for completions once for several, and send the same each time", () => {
      assert.equal(sendTurns(true, { iterations: 100, receives: 2 }).run().failure, null);
      assert.equal(pair.mostInFlight, UNSETTLED + 1);
      assert.equal(pair.posted.length, 103);
      for (const send of pair.posted) assert.deepEqual(send, pair.posted[0]);
    });

    it("warm up with short ones, then with the first of the others", () => {
      const warmUp = 10;
      const size = 4096;
      const job = jobOf({ ...turns, warmUp, size, kind: "read", opcode: Opcode.READ });
      new ReadTurns(job, pair, completions, engineThread()).run();
      const { local, remote } = job.lanes[0]!;
      const whole = { length: size, address: local, remote };
      const short = { length: 512, address: local + size - 512, remote: remote + size - 512 };
      // Of the warm-up as many are whole as there are records.
      const expected = [...Array<object>(6).fill(short), ...Array<object>(11).fill(whole)];
      assert.deepEqual(
        pair.posted.map(({ length, address, remote }) => ({ length, address, remote })),
        expected,
      );
    });

    it("of messages do with a single receive", () => {
      assert.equal(sendTurns(true, { receives: 1 }).run().failure, null);
    });

    for (const begins of [true, false])
      it(`of writes mark each other's memory, ${begins ? "this" : "the other"} side first`, () => {
        const buffer = new ArrayBuffer(4096);
        const bytes = new Uint8Array(buffer).fill(0xff);
        const marks: number[] = [];
        pair.onSend = () => marks.push(bytes[10]!);
        let answered = 0;
        const loop = new WriteTurns(
          jobOf({
            ...{ ...turns, iterations: 300, kind: "ping-pong-write", begins },
            polled: { memoryId: 0, postOffset: 10, pollOffset: 20 },
          }),
          pair,
          completions,
          buffer,
          engineThread(() => {
            const due = marks.length + (begins ? 0 : 1);
            if (answered < due) bytes[20] = ++answered & 0xff;
          }),
        );
        assert.equal(bytes[20], 0, "what was there before is no answer");
        const { messages, failure } = loop.run();
        assert.deepEqual([messages, failure], [300, null]);
        assert.deepEqual(
          marks,
          Array.from({ length: 303 }, (_, n) => (n + 1) & 0xff),
        );
      });

    it("end when no answer comes, or one that failed", () => {
      const silent = new SendTurns(
        jobOf({ ...turns, kind: "ping-pong-send", timeoutNs: 5e6 }),
        pair,
        completions,
        received,
        engineThread(),
      );
      assert.deepEqual(silent.run().failure, { kind: "timeout" });
      const failing = new QueuePairModel(completions);
      failing.failsAt = 2;
      const read = new ReadTurns(jobOf({ ...turns }), failing, completions, engineThread());
      assert.equal(read.run().failure?.kind, "status");
    });

    it("that are stopped hand over no times", () => {
      pair.onSend = () => {
        if (pair.posted.length === 5) control.stop();
      };
      const { failure, posted } = new ReadTurns(
        jobOf({ ...turns, kind: "read" }),
        pair,
        completions,
        engineThread(),
      ).run();
      assert.deepEqual([failure, posted], [{ kind: "stopped" }, null]);
    });

    it("see that what they wait to be answered has failed", () => {
      pair.failsAt = 3;
      let answered = 0;
      const loop = new SendTurns(
        jobOf({ ...turns, kind: "ping-pong-send", receives: 2, timeoutNs: 60e9 }),
        pair,
        completions,
        received,
        engineThread(() => {
          if (answered < Math.min(pair.posted.length, 2)) {
            answered++;
            pair.arrive();
          }
        }),
      );
      assert.equal(loop.run().failure?.kind, "status");
      assert.equal(pair.posted.length, 3);
    });
  });
});
