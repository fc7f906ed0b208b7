import { AdminOpcode, Feature } from "../spec.js";
import type { AdminQueue } from "./admin-queue.js";

/** I/O queue pairs that the controller allows, of `wanted`. Errors: those of AdminQueue.execute(). */
export async function setNumberOfQueues(admin: AdminQueue, wanted: number): Promise<number> {
  // §5.21.1.7: asked for and granted are 0's based, SQs in the low half, CQs in the high one.
  const granted = await admin.execute({
    opcode: AdminOpcode.SET_FEATURES,
    cdw10: Feature.NUMBER_OF_QUEUES,
    cdw11: ((wanted - 1) << 16) | (wanted - 1),
  });
  return Math.min((granted & 0xffff) + 1, (granted >>> 16) + 1);
}
