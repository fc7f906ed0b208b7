import assert from "node:assert/strict";
import { NvmeController } from "#lib/nvme/controller.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { Feature, LogPage } from "#lib/nvme/spec.js";
import { parseBdf } from "#lib/pci/bdf.js";
import type { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { devicesOf, isLab, load, namespaceOf, openSession, pattern, store } from "./machine.js";
import { withVector, type Devices } from "./machine.js";

const BLOCKS = 64;

describe("commands without data to transfer", () => {
  let session: Session;
  let devices: Devices;
  let namespace: NvmeNamespace;
  let before: Uint8Array;

  beforeEach(async () => {
    session = await openSession();
    devices = devicesOf(session);
    namespace = await namespaceOf(session, devices.nvme1);
    before = pattern(BLOCKS * namespace.blockSize, 21);
    await store(session, namespace, 0, before);
  });

  afterEach(() => session.close());

  const contents = (): Promise<Uint8Array> => load(session, namespace, 0, before.length);

  /** What was there before, with zeros in these blocks. */
  function zeroedIn(...ranges: { lba: number; blocks: number }[]): Uint8Array {
    const bytes = before.slice();
    const { blockSize } = namespace;
    for (const { lba, blocks } of ranges)
      bytes.fill(0, lba * blockSize, (lba + blocks) * blockSize);
    return bytes;
  }

  it("Write Zeroes leaves zeros in its blocks and all others alone", async () => {
    await namespace.writeZeroes(3, 1);
    await namespace.writeZeroes(8, 17, { fua: true });
    assert.deepEqual(await contents(), zeroedIn({ lba: 3, blocks: 1 }, { lba: 8, blocks: 17 }));
  });

  it("Write Zeroes takes several commands for more blocks than one has", async () => {
    const last = 2 * 65536 + 5;
    const { blockSize } = namespace;
    const marks = [1, 65535, 65536, 65537, 131072, last, last + 1];
    const mark = before.slice(0, blockSize);
    for (const lba of marks) await store(session, namespace, lba * blockSize, mark);
    await namespace.writeZeroes(1, last);
    for (const lba of marks.slice(0, -1))
      assert.deepEqual(
        await load(session, namespace, lba * blockSize, blockSize),
        new Uint8Array(blockSize),
        `block ${lba}`,
      );
    assert.deepEqual(await load(session, namespace, (last + 1) * blockSize, blockSize), mark);
    assert.deepEqual(await load(session, namespace, 0, blockSize), mark, "block 0");
  });

  it("Write Zeroes deallocates where that is offered, and is refused elsewhere", async () => {
    const zeroing = namespace.writeZeroes(4, 8, { deallocate: true });
    if ((namespace.identity.fields.dlfeat & 8) === 0)
      await assert.rejects(zeroing, { code: "UNSUPPORTED" });
    else {
      await zeroing;
      assert.deepEqual(await contents(), zeroedIn({ lba: 4, blocks: 8 }));
    }
  });

  it("Dataset Management deallocates its ranges alone, 256 and more", async () => {
    const few = [
      { lba: 0, blocks: 8 },
      { lba: 24, blocks: 8 },
    ];
    await namespace.deallocate(few);
    const after = await contents();
    // QEMU's disk keeps what it was told that nobody needs, which is its right.
    assert.deepEqual(after, isLab ? before : zeroedIn(...few));
    await namespace.deallocate(
      Array.from({ length: 300 }, (_, i) => ({ lba: 128 + 2 * i, blocks: 1 })),
    );
    await namespace.deallocate([]);
    assert.deepEqual(await contents(), after);
  });

  it("a write with Force Unit Access writes", async () => {
    const bytes = pattern(2 * namespace.blockSize, 22);
    const buffer = session.addressSpace.allocate(bytes.length);
    new Uint8Array(buffer.buffer).set(bytes);
    const list = new ScatterList(session.addressSpace).addHost(buffer, 0, bytes.length);
    await withVector(list, namespace, (vector) => namespace.write(5, 2, vector, { fua: true }));
    buffer.close();
    const { blockSize } = namespace;
    assert.deepEqual(await load(session, namespace, 5 * blockSize, bytes.length), bytes);
  });

  it("are refused past the end, and where writing was not allowed", async () => {
    const { blocks } = namespace;
    for (const [lba, count] of [
      [blocks, 1],
      [blocks - 1, 2],
      [-1, 1],
      [0, 0],
      [0.5, 1],
    ] as const) {
      await assert.rejects(namespace.writeZeroes(lba, count), { code: "BAD_RANGE" });
      await assert.rejects(namespace.deallocate([{ lba, blocks: count }]), { code: "BAD_RANGE" });
    }
    const fn = session.pci.get(parseBdf(devices.nvme2));
    await using controller = await NvmeController.open(session.addressSpace, fn);
    const [other] = controller.namespaces;
    await assert.rejects(other!.writeZeroes(0, 1), { code: "WRITE_NOT_ALLOWED" });
    await assert.rejects(other!.deallocate([]), { code: "WRITE_NOT_ALLOWED" });
  });
});

describe("what a controller tells about itself", () => {
  let session: Session;
  let namespace: NvmeNamespace;
  let controller: NvmeController;

  beforeEach(async () => {
    session = await openSession();
    namespace = await namespaceOf(session, devicesOf(session).nvme1);
    controller = namespace.controller;
  });

  afterEach(() => session.close());

  it("SMART counts the commands that it has carried out", async () => {
    const first = await controller.admin.smart();
    assert.ok(first.temperature > 200 && first.temperature < 400, `${first.temperature} K`);
    for (let i = 0; i < 3; i++) await load(session, namespace, 0, namespace.blockSize);
    const { host_read_commands } = await controller.admin.smart();
    assert.equal(host_read_commands, first.host_read_commands + 3n);
  });

  it("the error log has what failed, by name, where one is kept", async () => {
    await assert.rejects(controller.admin.identify(0, 0xffff_0000), {
      code: "NVME_STATUS",
      message: "admin command IDENTIFY failed: Invalid Namespace or Format",
    });
    const errors = await controller.admin.errorLog();
    // QEMU keeps none.
    const expected = isLab ? [] : [["Invalid Namespace or Format", 0, 0xffff_0000]];
    assert.deepEqual(
      errors.map(({ status, sqid, nsid }) => [status, sqid, nsid]),
      expected,
    );
  });

  it("log pages are the same in parts", async () => {
    const whole = await controller.admin.logPage(LogPage.SMART, 512);
    const parts = [];
    for (const offset of [0, 200, 400])
      parts.push(
        await controller.admin.logPage(LogPage.SMART, Math.min(200, 512 - offset), { offset }),
      );
    assert.deepEqual(
      Buffer.concat(parts.map((part) => new Uint8Array(part.buffer))),
      Buffer.from(whole.buffer),
    );
    assert.equal((await controller.admin.firmwareSlots()).afi & 7, 1);
    // QEMU blames the field where the specification has a status of its own.
    const message = isLab ? /Invalid Field in Command$/ : /Invalid Log Page$/;
    await assert.rejects(controller.admin.logPage(0xbf, 512), { message });
  });

  it("features have a current value that can be set, and a default that stays", async () => {
    const { admin } = controller;
    const id = Feature.TEMPERATURE_THRESHOLD;
    const standard = await admin.feature(id, { select: "default" });
    assert.equal((await admin.featureCapabilities(id)).changeable, true);
    await admin.setFeature(id, standard.value + 1);
    assert.equal((await admin.feature(id)).fields.tmpth, standard.fields.tmpth! + 1);
    assert.deepEqual(await admin.feature(id, { select: "default" }), standard);
    await admin.setFeature(id, standard.value);
    assert.deepEqual((await admin.feature(Feature.VOLATILE_WRITE_CACHE)).fields, { wce: 1 });
  });

  it("features with a data structure come with it", async () => {
    const set = Uint8Array.of(0x10, 0x32, 0x54, 0x76, 0, 0, 0, 0);
    await controller.admin.setFeature(Feature.TIMESTAMP, 0, { data: set });
    const { data } = await controller.admin.feature(Feature.TIMESTAMP);
    const milliseconds = data!.getUint32(0, true) - 0x7654_3210;
    assert.ok(milliseconds >= 0 && milliseconds < 60_000, `${milliseconds} ms later`);
  });

  it("namespaces have names, and commands have limits", async () => {
    const names = await controller.admin.namespaceDescriptors(namespace.nsid);
    assert.ok(names.eui64 !== null || names.csi === 0, JSON.stringify(names));
    const limits = await controller.nvmLimits();
    assert.equal(await controller.nvmLimits(), limits);
    assert.ok(limits.ranges > 0 && limits.rangeBlocks > 0 && limits.zeroedBytes > 0);
    // QEMU tells of a range's length only.
    if (isLab) assert.ok(limits.rangeBlocks < 0xffff_ffff);
  });
});
