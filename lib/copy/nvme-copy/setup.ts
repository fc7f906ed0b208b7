import type { PartJob } from "../../io/part-job.js";
import { mustBeEnabled, entryBytes } from "../../nvme/commands/copy.js";
import { Copy } from "../../nvme/spec.js";
import type { RunnerUrl } from "../../reactor/reactor.js";
import type { CheckedPlan } from "../check.js";
import type { CopyOutcome } from "../job.js";
import type { CopyPlan } from "../plan.js";
import type { CopySetup, OpenJob } from "../setup.js";
import type { NvmeCopyJob } from "./job.js";
import { shapeOf } from "./shape.js";

const RUNNER: RunnerUrl<PartJob, CopyOutcome> = new URL("./run-job.js", import.meta.url);

/**
 * The queues, lists and jobs of a run in which the controller copies by itself.
 * Errors: those of shapeOf(); NO_MEMORY, MEMLOCK, and those of admin commands.
 */
export async function openNvmeCopyJobs(
  setup: CopySetup,
  plan: CopyPlan,
  { source, destination, slots, inCmb }: CheckedPlan,
): Promise<OpenJob[]> {
  const { bs } = plan;
  const shape = shapeOf(source, destination, bs);
  const { format, commands, stride, commandBlocks, maxRangeBlocks } = shape;
  const { controller, nsid, blockSize } = destination;
  if (mustBeEnabled(format)) await controller.admin.enableCopyFormat(format);
  const open: OpenJob[] = [];
  for (const [index, part] of setup.parts.entries()) {
    const count = slots.count * commands;
    const lists = setup.openLists(count * stride);
    if (mustBeEnabled(format)) {
      const words = new Int32Array(lists.buffer);
      const entries = Math.floor(stride / entryBytes(format));
      for (let list = 0; list < count; list++)
        for (let entry = 0; entry < entries; entry++)
          words[(list * stride + entry * entryBytes(format) + Copy.SNSID_AT) / 4] = source.nsid;
    }
    const queue = await setup.openQueue(controller, count, inCmb.destination);
    const { control, latency, job } = setup.openPart(index, part, 1);
    const nvmeCopyJob: NvmeCopyJob = {
      ...job,
      queue,
      timeoutNs: controller.timeout * 1e6,
      nsid,
      sourceLba: (plan.source.offset + part.first * bs) / blockSize,
      lba: (plan.destination.offset + part.first * bs) / blockSize,
      blockSize,
      commandBlocks,
      maxRangeBlocks,
      format,
      lists: { memoryId: lists.memory.id, iova: lists.iova, stride },
    };
    const queues = [{ controller, qid: queue.qid, nsid }];
    open.push({ runner: RUNNER, job: nvmeCopyJob, part, control, latency, queues });
  }
  return open;
}
