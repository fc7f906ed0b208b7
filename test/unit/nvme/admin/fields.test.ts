import assert from "node:assert/strict";
import { CONTROLLER_FIELDS } from "#lib/nvme/admin/controller-fields.js";
import { decodeBits, decodeFields, type FieldTable } from "#lib/nvme/admin/fields.js";
import { ERROR_FIELDS, SMART_FIELDS } from "#lib/nvme/admin/log-pages.js";
import { NAMESPACE_FIELDS } from "#lib/nvme/admin/namespace-fields.js";
import { POWER_STATE_FIELDS } from "#lib/nvme/admin/power-states.js";
import { CONTROLLER, ERROR_ENTRY, NAMESPACE, POWER_STATE, SMART, type Place } from "./layouts.js";

/** What bytes 41h, 42h, 43h, … are as each kind. */
function expected(kind: string, bytes: number): number | bigint | string {
  const all = Array.from({ length: bytes }, (_, i) => 0x41 + (i % 26));
  const digits = all.map((byte) => byte.toString(16).padStart(2, "0"));
  const number = BigInt(`0x${[...digits].reverse().join("")}`);
  if (kind === "text") return String.fromCharCode(...all);
  if (kind === "id") return digits.join("");
  if (kind === "uuid") return "41424344-4546-4748-494a-4b4c4d4e4f50";
  return kind === "wide" ? number : Number(number);
}

function isEmpty(value: number | bigint | string): boolean {
  return value === 0 || value === 0n || (typeof value === "string" && /^[0-]*$/.test(value));
}

describe("Tables of fields", () => {
  const tables: [string, FieldTable, Place[]][] = [
    ["Identify Controller", CONTROLLER_FIELDS, CONTROLLER],
    ["Identify Namespace", NAMESPACE_FIELDS, NAMESPACE],
    ["power states", POWER_STATE_FIELDS, POWER_STATE],
    ["an error log entry", ERROR_FIELDS, ERROR_ENTRY],
    ["the SMART log", SMART_FIELDS.filter(([name]) => !name.startsWith("temperature_s")), SMART],
  ];
  for (const [title, table, layout] of tables)
    describe(`of ${title}`, () => {
      it("have every field of the layout, in its order", () => {
        assert.deepEqual(
          table.map(([name]) => name),
          layout.map(({ name }) => name),
        );
      });

      for (const { name, offset, bytes } of layout)
        it(`read ${name} from its own bytes, all of them, and nothing else from there`, () => {
          const data = new DataView(new ArrayBuffer(4096));
          for (let i = 0; i < bytes; i++) data.setUint8(offset + i, 0x41 + (i % 26));
          const values = decodeFields(table, data);
          const kind = table.find((field) => field[0] === name)?.[3] ?? "";
          assert.equal(values[name], expected(kind, bytes));
          for (const [other, value] of Object.entries(values))
            if (other !== name) assert.ok(isEmpty(value), `${other} is ${value}`);
        });
    });

  it("read a structure that begins further on", () => {
    const data = new DataView(new ArrayBuffer(64), 8);
    data.setUint16(18, 0x1234, true);
    assert.deepEqual(decodeFields([["it", 2, 2, "number"]], data, 16), { it: 0x1234 });
  });

  it("split values into bits and wider parts, up to the top", () => {
    assert.deepEqual(decodeBits({ low: 0, mid: [4, 7], top: [12, 63] }, 0xffff_ffff_ffff_f0a1n), {
      low: 1,
      mid: 0xa,
      top: 2 ** 52 - 1,
    });
    assert.deepEqual(decodeBits({ top: 31 }, 0x8000_0000), { top: 1 });
  });
});
