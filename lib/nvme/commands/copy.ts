/**
 * The Copy command (NVM Command Set 1.0 §3.2.2): ranges of blocks go one after the other to one place,
 * inside the controller. Formats 0 and 1 are for one namespace, 2 and 3 name the namespace of each
 * range; 1 and 3 are those of protection information, which p2pmem has none of.
 */
import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import { Copy, PAGE } from "../spec.js";

export type CopyFormat = 0 | 1 | 2 | 3;

/** Within a namespace, then across namespaces: shorter descriptors first. */
const WITHIN: readonly CopyFormat[] = [0, 1, 2, 3];
const ACROSS: readonly CopyFormat[] = [2, 3];

/** What the controller has; of Identify Controller. */
export interface CopySupport {
  hasCopy: boolean;
  /** Bit n: descriptor format n. */
  formats: number;
}

/** Of the destination's namespace; of Identify Namespace. All 0 where it takes none. */
export interface CopyLimits {
  /** MSSRL: blocks of one range. */
  rangeBlocks: number;
  /** MCL: blocks of one command. */
  commandBlocks: number;
  /** MSRC + 1: ranges of one command. */
  ranges: number;
}

/** Blocks to copy. */
export interface CopyRange {
  nsid: number;
  lba: number;
  blocks: number;
}

/** One command: where its ranges go to, one after the other. */
export interface CopyCommand {
  lba: number;
  blocks: number;
  ranges: CopyRange[];
}

export function decodeCopySupport(controller: DataView): CopySupport {
  const hasCopy = (controller.getUint16(Copy.ONCS_AT, true) & Copy.ONCS_BIT) !== 0;
  return { hasCopy, formats: hasCopy ? controller.getUint16(Copy.OCFS_AT, true) : 0 };
}

export function decodeCopyLimits(namespace: DataView): CopyLimits {
  return {
    rangeBlocks: namespace.getUint16(Copy.MSSRL_AT, true),
    commandBlocks: namespace.getUint32(Copy.MCL_AT, true),
    ranges: namespace.getUint8(Copy.MSRC_AT) + 1,
  };
}

/** Bytes of a Source Range Entry. */
export function entryBytes(format: CopyFormat): number {
  return format % 2 === 0 ? 32 : 40;
}

/** Whether the host must have said that it knows the format: by CDFE. */
export function mustBeEnabled(format: CopyFormat): boolean {
  return format >= 2;
}

/**
 * The format for ranges of one namespace or of several; `wanted`: that one or none.
 * Errors: UNSUPPORTED; BAD_ARGUMENT.
 */
export function chooseCopyFormat(
  device: Bdf,
  { hasCopy, formats }: CopySupport,
  isAcross: boolean,
  wanted?: CopyFormat,
): CopyFormat {
  const refuse = (why: string): P2pError =>
    new P2pError("UNSUPPORTED", `${device} ${why}`, {
      device,
      hint: "copy by way of memory: --via p2p or host",
    });
  if (!hasCopy) throw refuse("has no Copy command (Identify Controller, ONCS)");
  if (wanted !== undefined && !WITHIN.includes(wanted))
    throw new P2pError("BAD_ARGUMENT", `there is no Copy format ${wanted as number}`, {
      hint: "there are 0 to 3",
    });
  const format = (isAcross ? ACROSS : WITHIN).find(
    (each) => (wanted === undefined || each === wanted) && (formats & (1 << each)) !== 0,
  );
  if (format !== undefined) return format;
  const which = wanted === undefined ? "" : ` by format ${wanted}`;
  throw refuse(
    `does not copy ${isAcross ? "from one namespace to another" : "within a namespace"}${which} (Identify Controller, OCFS)`,
  );
}

/** Most ranges and blocks of one command, whose list is to fit in one page. Errors: UNSUPPORTED. */
export function commandLimits(
  device: Bdf,
  nsid: number,
  limits: CopyLimits,
  format: CopyFormat,
): CopyLimits {
  const ranges = Math.min(limits.ranges, Math.floor(PAGE / entryBytes(format)));
  const commandBlocks = Math.min(limits.commandBlocks, ranges * limits.rangeBlocks);
  if (commandBlocks === 0)
    throw new P2pError(
      "UNSUPPORTED",
      `namespace ${device}/${nsid} takes no blocks by Copy: its limits are 0 (MSSRL, MCL)`,
      { device, hint: "copy by way of memory: --via p2p or host" },
    );
  return { rangeBlocks: limits.rangeBlocks, commandBlocks, ranges };
}

/** The same copy in as few commands as the limits allow, of commandLimits(). */
export function splitCopy(
  ranges: readonly CopyRange[],
  lba: number,
  limits: CopyLimits,
): CopyCommand[] {
  const commands: CopyCommand[] = [];
  let command: CopyCommand | null = null;
  let at = lba;
  for (const range of ranges)
    for (let done = 0; done < range.blocks;) {
      if (
        command === null ||
        command.ranges.length === limits.ranges ||
        command.blocks === limits.commandBlocks
      )
        commands.push((command = { lba: at, blocks: 0, ranges: [] }));
      const room = Math.min(limits.rangeBlocks, limits.commandBlocks - command.blocks);
      const blocks = Math.min(range.blocks - done, room);
      command.ranges.push({ nsid: range.nsid, lba: range.lba + done, blocks });
      command.blocks += blocks;
      done += blocks;
      at += blocks;
    }
  return commands;
}

/** Dword 12 of a command of so many ranges. */
export function copyDword12(ranges: number, format: CopyFormat): number {
  return (ranges - 1) | (format << Copy.FORMAT_SHIFT);
}

/** Writes the descriptors of a command into zeroed memory, from its start. */
export function writeRanges(
  target: DataView,
  ranges: readonly CopyRange[],
  format: CopyFormat,
): void {
  for (const [index, { nsid, lba, blocks }] of ranges.entries()) {
    const at = index * entryBytes(format);
    // Formats 0 and 1 have nothing there.
    target.setUint32(at + Copy.SNSID_AT, format >= 2 ? nsid : 0, true);
    target.setBigUint64(at + Copy.SLBA_AT, BigInt(lba), true);
    target.setUint16(at + Copy.NLB_AT, blocks - 1, true);
  }
}
