import assert from "node:assert/strict";
import {
  decodeController,
  decodeDescriptors,
  decodeNamespace,
  decodeNamespaceList,
} from "#lib/nvme/admin/identify.js";

const page = (): DataView => new DataView(new ArrayBuffer(4096));

function text(data: DataView, offset: number, value: string): void {
  new Uint8Array(data.buffer).set(new TextEncoder().encode(value), offset);
}

describe("Identify", () => {
  it("decodes a controller: names, MDTS in units of its page, sizes, abilities", () => {
    const data = page();
    data.setUint16(0, 0x1b36, true);
    text(data, 4, "SN-1".padEnd(20));
    text(data, 24, "A model with spaces".padEnd(40));
    text(data, 64, "1.0     ");
    data.setUint8(77, 5);
    data.setUint16(78, 0x1234, true);
    data.setUint32(88, 6_500_000, true);
    data.setUint8(258, 3);
    data.setUint8(512, 0x66);
    data.setUint8(513, 0x54);
    data.setUint32(516, 256, true);
    data.setUint16(520, 0x15d, true);
    data.setUint8(525, 7);
    data.setUint16(534, 0b101, true);
    data.setUint32(536, 0x1_0002, true);
    text(data, 768, "nqn.2019-08.org.qemu:SN-1");
    const { fields, powerStates, ...identity } = decodeController(data);
    assert.deepEqual(identity, {
      vendorId: 0x1b36,
      serialNumber: "SN-1",
      modelNumber: "A model with spaces",
      firmwareRevision: "1.0",
      controllerId: 0x1234,
      maxTransfer: 128 << 10,
      submissionEntry: { required: 6, max: 6 },
      completionEntry: { required: 4, max: 5 },
      namespaceCount: 256,
      abortLimit: 4,
      asyncEventLimit: 1,
      optionalEvents: 0,
      shutdownTime: 6500,
      copy: { hasCopy: true, formats: 0b101 },
      hasCompare: true,
      hasWriteZeroes: true,
      hasDatasetManagement: true,
      hasShadowDoorbells: false,
      hasVolatileWriteCache: true,
      sgl: { alignment: "dword", hasBitBucket: true },
      subsystemName: "nqn.2019-08.org.qemu:SN-1",
    });
    assert.equal(fields.mdts, 5);
    assert.equal(powerStates.length, 1);
    assert.equal(decodeController(data, 8192).maxTransfer, 256 << 10);
  });

  it("takes MDTS 0 for no limit, and full fields without padding for whole", () => {
    const data = page();
    text(data, 4, "S".repeat(20) + "M".repeat(40) + "F".repeat(8));
    data.setUint16(520, 0xfffe, true);
    const controller = decodeController(data);
    assert.equal(controller.maxTransfer, Infinity);
    assert.equal(controller.serialNumber, "S".repeat(20));
    assert.equal(controller.modelNumber, "M".repeat(40));
    assert.equal(controller.firmwareRevision, "F".repeat(8));
    assert.equal(controller.subsystemName, "");
    assert.equal(controller.hasCompare, false);
    data.setUint16(520, 0x1f1, true);
    assert.equal(decodeController(data).hasDatasetManagement, false);
    assert.equal(decodeController(data).hasWriteZeroes, false);
    assert.equal(controller.hasVolatileWriteCache, false);
  });

  it("decodes a namespace by the format that is in use", () => {
    const data = page();
    data.setUint32(0, 0xffff_ffff, true);
    data.setUint32(4, 1, true);
    data.setUint8(25, 4);
    data.setUint16(74, 128, true);
    data.setUint32(76, 1024, true);
    data.setUint8(80, 15);
    data.setUint32(128, 9 << 16, true);
    data.setUint32(128 + 4 * 3, (12 << 16) | 8, true);
    data.setUint32(128 + 4 * 17, (12 << 16) | 0x02000000, true);
    const blocks = 2 ** 33 - 1;
    const copyLimits = { rangeBlocks: 128, commandBlocks: 1024, ranges: 16 };
    const expected: [number, number, number][] = [
      [0x00, 512, 0],
      [0x03, 4096, 8],
      [0x13, 4096, 8], // bit 4: metadata at the end of the data
      [0x21, 4096, 0], // NVMe 2.0: format 17
    ];
    for (const [flbas, blockSize, metadataSize] of expected) {
      data.setUint8(26, flbas);
      const { fields, formats, ...identity } = decodeNamespace(data);
      assert.deepEqual(identity, { blocks, blockSize, metadataSize, copyLimits });
      assert.equal(fields.nsze, BigInt(blocks));
      assert.equal(formats.length, 5);
      assert.deepEqual(formats[3], { ms: 8, lbads: 12, rp: 0 });
    }
  });

  it("decodes as many power states and formats as there are, and never more than fit", () => {
    const data = page();
    data.setUint8(263, 31);
    data.setUint16(2048 + 31 * 32, 700, true);
    assert.equal(decodeController(data).powerStates.length, 32);
    assert.equal(decodeController(data).powerStates[31]?.mp, 700);
    data.setUint8(263, 0xff);
    assert.equal(decodeController(data).powerStates.length, 32);
    data.setUint8(25, 0xff);
    assert.equal(decodeNamespace(data).formats.length, 64);
  });

  it("decodes what names a namespace, and passes over what it does not know", () => {
    const data = page();
    const bytes = new Uint8Array(data.buffer);
    const id = (first: number, length: number): number[] =>
      Array.from({ length }, (_, i) => first + i);
    bytes.set([1, 8, 0, 0, ...id(0x10, 8), 9, 3, 0, 0, 1, 2, 3, 2, 16, 0, 0, ...id(0x20, 16)]);
    bytes.set([3, 16, 0, 0, ...id(0x30, 16), 4, 1, 0, 0, 2], 12 + 7 + 20);
    assert.deepEqual(decodeDescriptors(data), {
      eui64: "1011121314151617",
      nguid: "202122232425262728292a2b2c2d2e2f",
      uuid: "30313233-3435-3637-3839-3a3b3c3d3e3f",
      csi: 2,
    });
    assert.deepEqual(decodeDescriptors(page()), {
      eui64: null,
      nguid: null,
      uuid: null,
      csi: null,
    });
  });

  it("stops at a descriptor that reaches past the end", () => {
    const data = page();
    for (let at = 0; at + 4 < 4096; at += 4 + 255) {
      data.setUint8(at, 9);
      data.setUint8(at + 1, 255);
    }
    assert.equal(decodeDescriptors(data).nguid, null);
  });

  it("passes over descriptors whose length is not that of their type, at the page's end, too", () => {
    const data = page();
    // Types that are not known fill the page up to its last 12 bytes.
    const fill = [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 195];
    let at = 0;
    for (const length of fill) {
      data.setUint16(at, 9 | (length << 8), true);
      at += 4 + length;
    }
    assert.equal(at, 4084);
    data.setUint16(at, 3 | (8 << 8), true); // a UUID of 8 bytes
    assert.equal(decodeDescriptors(data).uuid, null);
    for (const type of [1, 2, 4]) {
      data.setUint16(at, type | (7 << 8), true);
      assert.deepEqual(Object.values(decodeDescriptors(data)), [null, null, null, null]);
    }
  });

  it("lists namespaces up to the first zero, or the whole page", () => {
    const data = page();
    data.setUint32(0, 1, true);
    data.setUint32(4, 0xffff_fffe, true);
    data.setUint32(12, 9, true);
    assert.deepEqual(decodeNamespaceList(data), [1, 0xffff_fffe]);
    for (let i = 0; i < 1024; i++) data.setUint32(4 * i, i + 1, true);
    assert.equal(decodeNamespaceList(data).length, 1024);
  });
});
