/** What a reactor's thread does with an RdmaPerfJob. It opens queues and memory for itself. */
import { addon } from "../addon.js";
import { CompletionQueue } from "../rdma/completion-queue.js";
import { QueuePair } from "../rdma/queue-pair.js";
import type { EngineThread } from "../reactor/engine-job.js";
import { runEngine, type Open } from "../reactor/run-engine.js";
import type { RdmaPerfJob, RdmaPerfOutcome } from "./job.js";
import type { Loop } from "./loops/loop.js";
import { Receiver } from "./loops/receiver.js";
import { SendTurns } from "./loops/send-turns.js";
import { Sender } from "./loops/sender.js";
import { ReadTurns } from "./loops/turns.js";
import { WriteTurns } from "./loops/write-turns.js";

export function run(job: RdmaPerfJob): RdmaPerfOutcome {
  return runEngine(job, (open, thread) => openLoop(job, open, thread));
}

function openLoop(job: RdmaPerfJob, open: Open, thread: EngineThread): Loop {
  const sends = open(CompletionQueue.open(job.sendCompletions));
  const receives =
    job.receiveCompletions === null ? sends : open(CompletionQueue.open(job.receiveCompletions));
  const lanes = job.lanes.map(({ queuePair }) => ({
    queuePair: open(QueuePair.open(queuePair, sends, receives)),
  }));
  const { queuePair } = lanes[0]!;
  switch (job.kind) {
    case "send":
      return new Sender(job, lanes, sends, thread);
    case "receive":
      return new Receiver(job, lanes, receives, thread);
    case "read":
      return new ReadTurns(job, queuePair, sends, thread);
    case "ping-pong-send":
      return new SendTurns(job, queuePair, sends, receives, thread);
    case "ping-pong-write": {
      const { buffer } = open(addon().openMemory(job.polled!.memoryId));
      return new WriteTurns(job, queuePair, sends, buffer, thread);
    }
  }
}
