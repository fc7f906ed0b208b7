/**
 * Data pointers as a controller reads them, written from NVMe 1.4 §4.3 and §4.4 without a look at
 * what builds them. It stops at whatever a strict controller would refuse.
 */
import assert from "node:assert/strict";

const PAGE = 4096;

export interface ListView {
  iova: number;
  buffer: ArrayBuffer;
}

/** Bytes in order: where they are; null as the address: thrown away. */
export type Run = [address: number | null, length: number];

class Runs {
  readonly list: Run[] = [];
  left: number;

  constructor(length: number) {
    this.left = length;
  }

  add(address: number | null, bytes: number): void {
    assert.ok(bytes <= this.left, "more bytes than the command moves");
    this.left -= bytes;
    const last = this.list.at(-1);
    const end = last && (last[0] === null ? null : last[0] + last[1]);
    if (last && end === address) last[1] += bytes;
    else this.list.push([address, bytes]);
  }
}

/** Fails where any of the bytes is outside. */
function viewOf({ iova, buffer }: ListView, address: number, bytes: number): DataView {
  const at = address - iova;
  const isInside = at >= 0 && at + bytes <= buffer.byteLength;
  assert.ok(isInside, `0x${address.toString(16)} is no list memory`);
  return new DataView(buffer, at, bytes);
}

function halves(words: readonly number[], at: number): number {
  return (words[at]! >>> 0) + (words[at + 1]! >>> 0) * 2 ** 32;
}

/** `words`: dwords 6 to 9 of a command that moves `length` bytes. */
export function readPrps(words: readonly number[], length: number, list: ListView): Run[] {
  const runs = new Runs(length);
  const take = (entry: number): void => {
    runs.add(entry, Math.min(PAGE - (entry % PAGE), runs.left));
  };
  const [prp1, prp2] = [halves(words, 0), halves(words, 2)];
  assert.equal(prp1 % 4, 0, "PRP 1 is not dword aligned");
  take(prp1);
  if (runs.left === 0) {
    assert.equal(prp2, 0, "PRP 2 is reserved where PRP 1 says it all");
  } else if (runs.left <= PAGE) {
    assert.equal(prp2 % PAGE, 0, "only PRP 1 has an offset");
    take(prp2);
  } else {
    assert.equal(prp2 % 8, 0, "a list is not qword aligned");
    for (let at = prp2; runs.left > 0;) {
      const entry = Number(viewOf(list, at, 8).getBigUint64(0, true));
      assert.equal(entry % PAGE, 0, "only PRP 1 has an offset");
      if ((at + 8) % PAGE === 0 && runs.left > PAGE) {
        at = entry;
      } else {
        take(entry);
        at += 8;
      }
    }
  }
  return runs.list;
}

interface Descriptor {
  type: number;
  address: number;
  length: number;
}

function descriptor(address: number, length: number, last: number): Descriptor {
  assert.equal(last & 0x00ff_ffff, 0, "reserved bytes of a descriptor");
  assert.equal((last >>> 24) & 0xf, 0, "the subtype is another than an address");
  return { type: last >>> 28, address, length: length >>> 0 };
}

/** Likewise for an SGL. `grain`: what a data block must be aligned to. */
export function readSgl(
  words: readonly number[],
  length: number,
  list: ListView,
  grain = 1,
): Run[] {
  const runs = new Runs(length);
  const data = ({ type, address, length: bytes }: Descriptor): void => {
    if (type === 1) {
      runs.add(null, bytes);
      return;
    }
    assert.equal(type, 0, "no data block");
    assert.equal(address % grain, 0);
    assert.equal(bytes % grain, 0);
    runs.add(address, bytes);
  };
  let pointer = descriptor(halves(words, 0), words[2]!, words[3]!);
  if (pointer.type < 2) data(pointer);
  while (pointer.type >= 2) {
    const { type, address, length: bytes } = pointer;
    assert.ok(type === 2 || type === 3, "no segment");
    assert.equal(address % 8, 0, "a segment is not qword aligned");
    assert.ok(bytes > 0 && bytes % 16 === 0, "no whole descriptors");
    assert.equal(Math.floor(address / PAGE), Math.floor((address + bytes - 1) / PAGE));
    const view = viewOf(list, address, bytes);
    const all = Array.from({ length: bytes / 16 }, (_, i) =>
      descriptor(
        Number(view.getBigUint64(16 * i, true)),
        view.getUint32(16 * i + 8, true),
        view.getUint32(16 * i + 12, true),
      ),
    );
    const next = type === 2 ? all.pop() : undefined;
    all.forEach(data);
    if (next === undefined) break;
    assert.ok(next.type >= 2, "a segment that is not the last leads nowhere");
    pointer = next;
  }
  assert.equal(runs.left, 0, "fewer bytes than the command moves");
  return runs.list;
}
