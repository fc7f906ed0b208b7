/** Tables of fields: how the specification's data structures are written down here, and decoded. */

/** The parts of a field by name: a bit, or the first and the last of several. */
export type BitFields = Readonly<Record<string, number | readonly [low: number, high: number]>>;

/**
 * `number` and `hex`: up to 4 bytes, of which people read the latter in hexadecimal. `wide`: 8 or 16
 * bytes. `text`: ASCII. `id`: hexadecimal digits in the order of the bytes. `uuid`: the same, grouped.
 */
type Kind = "number" | "hex" | "wide" | "text" | "id" | "uuid";

/** What a value says: the bits that it is made of, or words for it. */
export type Meaning = BitFields | ((value: number) => string);

/** The specification's name in lower case, the offset and the length in bytes. */
export type Field = readonly [
  name: string,
  offset: number,
  bytes: number,
  kind: Kind,
  meaning?: Meaning,
];

export type FieldTable = readonly Field[];

type ValueOf<K extends Kind> = K extends "number" | "hex"
  ? number
  : K extends "wide"
    ? bigint
    : string;

/** The values of a table's fields, by name. */
export type Fields<T extends FieldTable> = { readonly [F in T[number] as F[0]]: ValueOf<F[3]> };

/** The structure begins at byte `start` of `data`. */
export function decodeFields<const T extends FieldTable>(
  table: T,
  data: DataView,
  start = 0,
): Fields<T> {
  const entries = table.map(([name, offset, bytes, kind]) => [
    name,
    decodeField(data, start + offset, bytes, kind),
  ]);
  return Object.fromEntries(entries) as Fields<T>;
}

function decodeField(
  data: DataView,
  offset: number,
  bytes: number,
  kind: Kind,
): number | bigint | string {
  switch (kind) {
    case "number":
    case "hex":
      return Number(littleEndian(data, offset, bytes));
    case "wide":
      return littleEndian(data, offset, bytes);
    case "text":
      return ascii(data, offset, bytes);
    case "id":
      return hexDigits(data, offset, bytes);
    case "uuid":
      return hexDigits(data, offset, bytes).replace(
        /^(.{8})(.{4})(.{4})(.{4})(.{12})$/,
        "$1-$2-$3-$4-$5",
      );
  }
}

function littleEndian(data: DataView, offset: number, bytes: number): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(data.getUint8(offset + i));
  return value;
}

function bytesAt(data: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + offset, length);
}

/** ASCII fields are padded with spaces (NVMe 1.4 §1.6), names with zeros. */
function ascii(data: DataView, offset: number, length: number): string {
  const bytes = bytesAt(data, offset, length);
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end))).trim();
}

export function hexDigits(data: DataView, offset: number, length: number): string {
  return Buffer.from(bytesAt(data, offset, length)).toString("hex");
}

/** The parts of a value, by name. None is wider than 53 bits. */
export function decodeBits(parts: BitFields, value: number | bigint): Record<string, number> {
  const entries = Object.entries(parts).map(([name, place]) => {
    const [low, high] = typeof place === "number" ? [place, place] : place;
    const mask = (1n << BigInt(high - low + 1)) - 1n;
    return [name, Number((BigInt(value) >> BigInt(low)) & mask)];
  });
  return Object.fromEntries(entries) as Record<string, number>;
}
