import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addon } from "../addon.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { P2pError } from "../errors.js";
import { blocksOf, readInto, TrialEnd, type BlockRange } from "./leg.js";
import type { ProofMemory } from "./memory.js";

/**
 * Lets `use` write the first `length` bytes of a range, and puts back what they held, whatever
 * happens. Meanwhile it is in a file, too: where a path hangs its controller writes nothing back.
 * Errors: NOT_SAVED before anything is written; NOT_RESTORED, whose hint names the file.
 */
export async function borrow<T>(
  range: BlockRange,
  length: number,
  memory: ProofMemory,
  use: () => Promise<T>,
): Promise<T> {
  const saved = await save(range, length, memory);
  const file = keep(saved, range, length);
  range.namespace.permitWrites();
  try {
    return await use();
  } finally {
    await restore(saved, file, range, length, memory);
    rmSync(file, { force: true });
  }
}

/** What the range holds. One Read is not to be trusted: it may succeed and bring nothing. */
async function save(range: BlockRange, length: number, memory: ProofMemory): Promise<DmaBuffer> {
  const saved = memory.allocate(memory.size); // zeros
  const again = memory.seen;
  new Uint8Array(again.buffer).fill(0xff);
  await readInto(saved, range, length, memory);
  await readInto(again, range, length, memory);
  if (addon().compare(saved.memory, 0, again.memory, 0, length) < 0) return saved;
  throw new TrialEnd(
    "failed",
    "two Reads of the blocks to write bring different data, so nothing was written that could not be restored",
  );
}

/** Writes it to a file, for the user alone; returns its path. Errors: NOT_SAVED. */
function keep(saved: DmaBuffer, { namespace, offset }: BlockRange, length: number): string {
  const device = namespace.controller.address;
  const place = `${device.replaceAll(":", "-")}-${namespace.nsid}-${offset}`;
  const file = join(tmpdir(), `p2pmem-${place}-${randomUUID()}`);
  const bytes = new Uint8Array(saved.buffer, 0, length);
  try {
    writeFileSync(file, bytes, { flag: "wx", mode: 0o600, flush: true });
  } catch (cause) {
    rmSync(file, { force: true });
    throw new P2pError("NOT_SAVED", `cannot keep what is to be overwritten in ${file}`, {
      ...{ device, hint: "set TMPDIR to a directory that may be written", cause },
    });
  }
  return file;
}

/** Writes back what was there, and looks whether it is there. Errors: NOT_RESTORED. */
async function restore(
  saved: DmaBuffer,
  file: string,
  range: BlockRange,
  length: number,
  memory: ProofMemory,
): Promise<void> {
  const { namespace } = range;
  const { lba, blocks, device } = blocksOf(range, length);
  const refuse = (cause?: unknown): P2pError =>
    new P2pError(
      "NOT_RESTORED",
      `blocks ${lba} to ${lba + blocks - 1} of ${device}/${namespace.nsid} do not hold what they held before the proof`,
      {
        device,
        hint: `write it back from ${file}, at byte ${range.offset} of the namespace`,
        cause,
      },
    );
  try {
    await namespace.write(lba, blocks, memory.mapHost(saved, length, device));
    if (namespace.controller.identity.hasVolatileWriteCache) await namespace.flush();
    new Uint8Array(memory.seen.buffer).fill(~new Uint8Array(saved.buffer)[0]!);
    await readInto(memory.seen, range, length, memory);
  } catch (cause) {
    throw refuse(cause);
  }
  if (addon().compare(memory.seen.memory, 0, saved.memory, 0, length) >= 0) throw refuse();
}
