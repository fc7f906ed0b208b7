import { P2pError } from "../../errors.js";
import { ScatterList } from "../../sgl/scatterlist.js";
import type { NvmeNamespace } from "../namespace.js";
import { Copy, PAGE } from "../spec.js";
import {
  chooseCopyFormat,
  commandLimits,
  copyDword12,
  entryBytes,
  mustBeEnabled,
  splitCopy,
  writeRanges,
  type CopyFormat,
} from "./copy.js";

/** Blocks to copy, of the destination's namespace unless another of its controller is named. */
export interface CopySource {
  namespace?: NvmeNamespace;
  lba: number;
  blocks: number;
}

/** NvmeNamespace.copy(): one command after the other, in the order of the ranges. */
export async function copyBlocks(
  target: NvmeNamespace,
  sources: readonly CopySource[],
  lba: number,
  wanted?: CopyFormat,
): Promise<void> {
  const { controller, nsid } = target;
  check(target, sources, lba);
  const isAcross = sources.some(({ namespace = target }) => namespace !== target);
  const { copy } = controller.identity;
  const format = chooseCopyFormat(controller.address, copy, isAcross, wanted);
  const limits = commandLimits(controller.address, nsid, target.copyLimits, format);
  const ranges = sources.map(({ namespace = target, lba, blocks }) => ({
    ...{ nsid: namespace.nsid, lba, blocks },
  }));
  if (mustBeEnabled(format)) await controller.admin.enableCopyFormat(format);
  const { addressSpace } = controller;
  const queue = await controller.ioQueue();
  const buffer = addressSpace.allocate(PAGE);
  try {
    const list = new ScatterList(addressSpace).addHost(buffer, 0, PAGE);
    const vector = list.map(controller);
    try {
      for (const command of splitCopy(ranges, lba, limits)) {
        writeRanges(new DataView(buffer.buffer), command.ranges, format);
        await queue.run({
          name: "Copy",
          what: `Copy to blocks ${command.lba} to ${command.lba + command.blocks - 1}`,
          opcode: Copy.OPCODE,
          nsid,
          lba: command.lba,
          // Its list of ranges is the one "block" of data that it has.
          blocks: 1,
          blockSize: command.ranges.length * entryBytes(format),
          data: vector,
          flags: copyDword12(command.ranges.length, format),
        });
      }
    } finally {
      vector.unmap();
    }
  } finally {
    buffer.close();
  }
}

/** Errors: see NvmeNamespace.copy(). */
function check(target: NvmeNamespace, sources: readonly CopySource[], lba: number): void {
  const device = target.controller.address;
  const refuse = (code: string, why: string): P2pError =>
    new P2pError(code, `namespace ${device}/${target.nsid}: ${why}`, { device });
  target.assertPlainFormat();
  const total = sources.reduce((sum, { blocks }) => sum + blocks, 0);
  const assertRange = (namespace: NvmeNamespace, first: number, blocks: number): void => {
    const isRange = Number.isSafeInteger(first) && Number.isSafeInteger(blocks) && first >= 0;
    if (!isRange || blocks < 1 || first + blocks > namespace.blocks)
      throw refuse(
        "BAD_RANGE",
        `Copy of ${blocks} blocks at block ${first} of namespace ${namespace.nsid}, which has ${namespace.blocks} blocks`,
      );
  };
  for (const { namespace = target, lba: from, blocks } of sources) {
    if (namespace.controller !== target.controller)
      throw refuse("UNSUPPORTED", `Copy from another controller, ${namespace.controller.address}`);
    namespace.assertPlainFormat();
    if (namespace.blockSize !== target.blockSize)
      throw refuse("UNSUPPORTED", `Copy from blocks of ${namespace.blockSize} bytes`);
    assertRange(namespace, from, blocks);
    if (namespace === target && from < lba + total && lba < from + blocks)
      throw refuse(
        "OVERLAP",
        `Copy of blocks ${from} to ${from + blocks - 1} to blocks ${lba} to ${lba + total - 1}`,
      );
  }
  assertRange(target, lba, total);
}
