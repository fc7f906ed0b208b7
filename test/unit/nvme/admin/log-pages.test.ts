import assert from "node:assert/strict";
import {
  decodeCommandEffects,
  decodeErrorLog,
  decodeFirmwareSlots,
  decodeSmart,
  decodeSupportedLogs,
} from "#lib/nvme/admin/log-pages.js";

const page = (bytes: number): DataView => new DataView(new ArrayBuffer(bytes));

describe("Log pages", () => {
  it("error log: entries in use, each with its status by name", () => {
    const data = page(3 * 64);
    // Entry 1 is in use: all its fields differ.
    const at = 64;
    data.setBigUint64(at, 7n, true);
    data.setUint16(at + 8, 3, true);
    data.setUint16(at + 10, 0x55, true);
    data.setUint16(at + 12, (0x4281 << 1) | 1, true);
    data.setUint16(at + 14, 0x0a28, true);
    data.setBigUint64(at + 16, 0x1_0000_0000n, true);
    data.setUint32(at + 24, 2, true);
    data.setUint8(at + 28, 0x80);
    data.setUint8(at + 29, 1);
    data.setBigUint64(at + 32, 9n, true);
    data.setUint16(at + 40, 0x77, true);
    assert.deepEqual(decodeErrorLog(data), [
      {
        error_count: 7n,
        sqid: 3,
        cmdid: 0x55,
        status_field: 0x8503,
        parm_error_location: 0x0a28,
        lba: 0x1_0000_0000n,
        nsid: 2,
        vs: 0x80,
        trtype: 1,
        cs: 9n,
        trtype_spec_info: 0x77,
        status: "Unrecovered Read Error",
      },
    ]);
  });

  it("SMART: 128-bit counters whole, temperature sensors apart", () => {
    const data = page(512);
    data.setUint16(1, 300, true);
    data.setBigUint64(32, 1n, true);
    data.setBigUint64(40, 1n, true);
    data.setUint16(214, 310, true);
    const smart = decodeSmart(data);
    assert.equal(smart.temperature, 300);
    assert.equal(smart.data_units_read, 2n ** 64n + 1n);
    assert.equal(smart.temperature_sensor_8, 310);
    assert.equal(smart.temperature_sensor_7, 0);
  });

  it("firmware slots: the active one, and a revision for each", () => {
    const data = page(512);
    data.setUint8(0, 0x12);
    new Uint8Array(data.buffer).set(new TextEncoder().encode("1.0     2.1     "), 8);
    const { afi, frs1, frs2, frs3 } = decodeFirmwareSlots(data);
    assert.deepEqual([afi, frs1, frs2, frs3], [0x12, "1.0", "2.1", ""]);
  });

  it("command effects: the commands that there are, admin and I/O apart", () => {
    const data = page(4096);
    data.setUint32(4 * 0x06, 1, true);
    data.setUint32(4 * 0x80, 1 | (1 << 1) | (1 << 2) | (2 << 16), true);
    data.setUint32(4 * 0x09, 1 << 1, true); // not supported, whatever else it says
    data.setUint32(1024 + 4 * 0x01, 1 | (1 << 1), true);
    data.setUint32(1024 + 4 * 0xff, 1 | (1 << 3) | (1 << 4), true);
    const none = { lbcc: false, ncc: false, nic: false, ccc: false, cse: 0 };
    const { admin, io } = decodeCommandEffects(data);
    assert.deepEqual(
      [...admin],
      [
        [0x06, none],
        [0x80, { ...none, lbcc: true, ncc: true, cse: 2 }],
      ],
    );
    assert.deepEqual(
      [...io],
      [
        [0x01, { ...none, lbcc: true }],
        [0xff, { ...none, nic: true, ccc: true }],
      ],
    );
  });

  it("supported log pages: those whose first bit is set", () => {
    const data = page(1024);
    for (const [id, value] of [
      [0, 1],
      [2, 0x10001],
      [3, 2],
      [255, 1],
    ] as const)
      data.setUint32(4 * id, value, true);
    assert.deepEqual(decodeSupportedLogs(data), [0, 2, 255]);
  });
});
