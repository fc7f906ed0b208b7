import { P2pError } from "../../errors.js";
import {
  chooseCopyFormat,
  commandLimits,
  entryBytes,
  type CopyFormat,
} from "../../nvme/commands/copy.js";
import type { NvmeNamespace } from "../../nvme/namespace.js";

/** How blocks of a run become Copy commands. */
export interface NvmeCopyShape {
  format: CopyFormat;
  /** Logical blocks of a command, and of a range of it, at most. */
  commandBlocks: number;
  maxRangeBlocks: number;
  /** Commands of one copy block. */
  commands: number;
  /** Bytes from list to list: a power of two, so that none crosses a page. */
  stride: number;
}

/**
 * Whether a controller can copy between two namespaces by itself, and how.
 * Errors: UNSUPPORTED, with the reason.
 */
export function shapeOf(
  source: NvmeNamespace,
  destination: NvmeNamespace,
  bs: number,
): NvmeCopyShape {
  const { controller, nsid, blockSize } = destination;
  const device = controller.address;
  const refuse = (why: string): P2pError =>
    new P2pError("UNSUPPORTED", `the path nvme-copy is inside one controller: ${why}`, {
      device,
      hint: "copy by way of memory: --via p2p or host",
      parameter: "path",
    });
  if (source.controller !== controller)
    throw refuse(`${source.controller.address} and ${device} are two`);
  if (source.blockSize !== blockSize)
    throw refuse(
      `namespaces ${source.nsid} and ${nsid} of ${device} have blocks of ${source.blockSize} and ${blockSize} bytes`,
    );
  const format = chooseCopyFormat(device, controller.identity.copy, source.nsid !== nsid);
  const limits = commandLimits(device, nsid, destination.copyLimits, format);
  const blocks = bs / blockSize;
  const commandBlocks = Math.min(blocks, limits.commandBlocks);
  const listBytes = Math.ceil(commandBlocks / limits.rangeBlocks) * entryBytes(format);
  return {
    format,
    commandBlocks,
    maxRangeBlocks: limits.rangeBlocks,
    commands: Math.ceil(blocks / commandBlocks),
    stride: 2 ** Math.ceil(Math.log2(listBytes)),
  };
}
