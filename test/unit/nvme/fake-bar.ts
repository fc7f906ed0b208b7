import assert from "node:assert/strict";
import type { NativeRegion } from "#lib/addon.js";
import { Registers } from "#lib/nvme/registers.js";
import { parseBdf } from "#lib/pci/bdf.js";

export const DEVICE = parseBdf("0000:03:00.0");
/** CAP.CMBS, in the high half. */
export const CMBS = 1 << 25;

/** BAR 0 as plain memory that notes what is written, and may react. */
export class FakeBar {
  readonly values = new Map<number, number>();
  readonly log: string[] = [];
  onWrite: (offset: number, value: number) => void = () => undefined;
  onRead: (offset: number) => void = () => undefined;

  readonly registers = new Registers(this as unknown as NativeRegion, DEVICE);

  read32(offset: number): number {
    this.log.push(`read ${offset.toString(16)}`);
    this.onRead(offset);
    return this.values.get(offset) ?? 0;
  }

  write32(offset: number, value: number): void {
    assert.ok(value >= 0 && value <= 0xffff_ffff && Number.isInteger(value));
    this.log.push(`write ${offset.toString(16)} ${value.toString(16)}`);
    this.values.set(offset, value);
    this.onWrite(offset, value);
  }
}
