/** Offset, width in bytes, value. */
export type Register = readonly [offset: number, width: 1 | 2 | 4, value: number];

/** Configuration space of `size` bytes that is 0 but for these registers. */
export function configBytes(size: number, ...registers: Register[]): Uint8Array {
  const bytes = Buffer.alloc(size);
  for (const [offset, width, value] of registers) bytes.writeUIntLE(value, offset, width);
  return new Uint8Array(bytes);
}

/** A capability list (status, pointer) that begins at 40h. */
export const LIST_AT_40: readonly Register[] = [
  [0x06, 2, 0x0010],
  [0x34, 1, 0x40],
];
