/** The controller against the loopback machine's, which follows the registers of NVMe 1.4. */
import assert from "node:assert/strict";
import { AddressSpace } from "#lib/dma/address-space.js";
import type { DmaBuffer } from "#lib/dma/dma-buffer.js";
import { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair, type QueuePairHandle } from "#lib/nvme/queues/queue-pair.js";
import type { PciFunction } from "#lib/pci/function.js";
import { PciTree } from "#lib/pci/tree.js";
import type { Platform } from "#lib/platform.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";

const BLOCK = 512;
const READ = 2;
const CONFIG_SPACE = 7;
const PCI_COMMAND = 4;

describe("An NVMe controller", () => {
  let platform: Platform;
  let space: AddressSpace;
  let functions: PciFunction[];
  let controller: NvmeController;
  const vectors: DmaVector[] = [];

  beforeEach(async () => {
    platform = new LoopbackPlatform(builtinMachines.default);
    const tree = new PciTree(platform.topology());
    functions = [...tree.functions.values()].filter(({ isNvme }) => isNvme);
    space = new AddressSpace(platform, tree);
    controller = await NvmeController.open(space, functions[0]!, { allowWrite: true });
  });

  afterEach(async () => {
    for (const vector of vectors.splice(0)) vector.unmap();
    await controller.close();
    space.close();
    platform.close();
  });

  const map = (buffer: DmaBuffer, offset: number, length: number, client = controller) => {
    const vector = new ScatterList(space).addHost(buffer, offset, length).map(client);
    vectors.push(vector);
    return vector;
  };

  const host = (bytes: number) => {
    const buffer = space.allocate(bytes);
    const data = map(buffer, 0, bytes);
    return { data, bytes: new Uint8Array(buffer.buffer, 0, bytes), close: () => buffer.close() };
  };

  it("is started, says who it is, and lists its namespaces", () => {
    assert.equal(controller.identity.modelNumber, "p2pmem loopback NVMe");
    assert.deepEqual(
      controller.namespaces.map(({ nsid, blockSize, size }) => [nsid, blockSize, size]),
      [[1, BLOCK, 128 << 20]],
    );
    assert.ok(controller.maxTransfer >= 128 << 10);
  });

  it("reads back what it wrote, over more than one command and at any dword of a page", async () => {
    const namespace = controller.namespaces[0]!;
    const size = controller.maxTransfer * 3 + BLOCK;
    const out = host(size);
    const back = host(size + 4096);
    for (let i = 0; i < size; i++) out.bytes[i] = (i * 7 + (i >> 9)) & 0xff;
    await namespace.write(5, size / BLOCK, out.data);
    await namespace.flush();
    await namespace.compare(5, size / BLOCK, out.data);
    const whole = space.allocate(size + 4096);
    const shifted = map(whole, 2052, size);
    await namespace.read(5, size / BLOCK, shifted);
    assert.equal(Buffer.compare(out.bytes, new Uint8Array(whole.buffer, 2052, size)), 0);
    assert.deepEqual(space.takeFaults(), []);
    for (const buffer of [out, back, whole]) buffer.close();
  });

  it("refuses, before it submits anything, what is outside, unaligned or another device's", async () => {
    const namespace = controller.namespaces[0]!;
    const options = { allowWrite: true, descriptors: "prp" } as const;
    const other = await NvmeController.open(space, functions[1]!, options);
    const buffer = space.allocate(8192);
    const { blocks } = namespace;
    const attempts: [number, number, DmaVector, string][] = [
      [blocks, 1, map(buffer, 0, BLOCK), "BAD_RANGE"],
      [blocks - 1, 2, map(buffer, 0, 1024), "BAD_RANGE"],
      [0, 0, map(buffer, 0, BLOCK), "BAD_RANGE"],
      [-1, 1, map(buffer, 0, BLOCK), "BAD_RANGE"],
      [0.5, 1, map(buffer, 0, BLOCK), "BAD_RANGE"],
      [0, 2, map(buffer, 0, BLOCK), "BAD_RANGE"],
      [0, 1, map(buffer, 0, BLOCK, other), "NOT_MAPPED_FOR_DEVICE"],
    ];
    for (const [lba, count, data, code] of attempts) {
      await assert.rejects(namespace.read(lba, count, data), { code });
      await assert.rejects(namespace.write(lba, count, data), { code });
    }
    const odd = map(buffer, 2, BLOCK, other);
    await assert.rejects(other.namespaces[0]!.read(0, 1, odd), { code: "UNALIGNED" });
    buffer.close();
    await other.close();
  });

  it("writes only where that was permitted", async () => {
    const other = await NvmeController.open(space, functions[1]!);
    const buffer = space.allocate(4096);
    const data = map(buffer, 0, BLOCK, other);
    const namespace = other.namespaces[0]!;
    await assert.rejects(namespace.write(0, 1, data), { code: "WRITE_NOT_ALLOWED" });
    await namespace.read(0, 1, data);
    namespace.permitWrites();
    await namespace.write(0, 1, data);
    buffer.close();
    await other.close();
  });

  it("makes queue pairs until there are no more, and reuses deleted ones", async () => {
    const handles: QueuePairHandle[] = [];
    for (;;) {
      const handle = await controller.createQueuePair({ depth: 48 }).catch((error: unknown) => {
        assert.equal((error as { code: string }).code, "NO_QUEUE");
        return null;
      });
      if (!handle) break;
      handles.push(handle);
    }
    assert.ok(handles.length > 1);
    assert.equal(new Set(handles.map(({ qid }) => qid)).size, handles.length);
    assert.ok(handles.every(({ depth }) => depth === 64));
    await controller.deleteQueuePair(handles[1]!.qid);
    const again = await controller.createQueuePair({ depth: 1e9 });
    assert.equal(again.qid, handles[1]!.qid);
    assert.equal(again.depth, controller.maxQueueDepth);
  });

  it("serves a queue pair opened by its handle, through several laps", async () => {
    const handle = await controller.createQueuePair({ depth: 4 });
    const queue = openQueuePair(structuredClone(handle));
    const { data, close } = host(4096);
    const prp = data.addresses[0]!;
    const seen: number[] = [];
    for (let cookie = 0; seen.length < 50;) {
      for (; queue.free > 0; cookie++)
        queue.submit(READ, 1, cookie, 8, prp | 0, (prp / 2 ** 32) | 0, 0, 0, cookie);
      queue.ring();
      for (let done = queue.next(); done >= 0; done = queue.next()) {
        assert.equal(queue.status, 0);
        seen.push(done);
      }
      assert.equal(queue.fault, null);
      queue.acknowledge();
    }
    assert.equal(new Set(seen).size, seen.length);
    queue.close();
    close();
  });

  it("settles what is in flight once when it is closed, and takes nothing afterwards", async () => {
    const namespace = controller.namespaces[0]!;
    const { data, close } = host(64 << 10);
    const codes = Array.from({ length: 400 }, (_, n) =>
      namespace.read(n, 128, data).then(
        () => "ok",
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    await namespace.read(0, 1, data);
    const closing = controller.close();
    assert.equal(controller.close(), closing);
    await closing;
    for (const code of await Promise.all(codes))
      assert.ok(["ok", "CLOSED", "NVME_STATUS"].includes(code), code);
    await assert.rejects(namespace.read(0, 1, data), { code: "CLOSED" });
    await assert.rejects(controller.createQueuePair({ depth: 4 }), { code: "CLOSED" });
    close();
  });

  it("may be stopped first, when others still have to let go of what it reached", async () => {
    const buffer = host(4096);
    const pending = controller.namespaces[0]!.read(0, 8, buffer.data);
    await controller.stop();
    await Promise.allSettled([pending]); // done or rejected, but settled
    const command = controller.device.region(CONFIG_SPACE).read16(PCI_COMMAND);
    assert.equal(command & 4, 0, "bus mastering is off");
    for (const call of [
      () => controller.createQueuePair({ depth: 2 }),
      () => controller.reset(),
      () => controller.ioQueue(),
    ])
      await assert.rejects(call(), { code: "CLOSED" });
    buffer.close();
  });

  it("that fails cuts itself off from memory before anyone is told", async () => {
    const config = controller.device.region(CONFIG_SPACE);
    const buffer = host(4096);
    const namespace = controller.namespaces[0]!;
    await namespace.read(0, 8, buffer.data);
    const pending = namespace.read(0, 8, buffer.data);
    controller.device.region(0).write32(0x14, 0); // CC.EN off, behind the driver's back
    let command = -1;
    await pending.then(
      () => (command = 0),
      () => (command = config.read16(PCI_COMMAND)),
    );
    assert.equal(command & 4, 0);
    buffer.close();
  });

  it("can be opened again after it was closed", async () => {
    await controller.close();
    controller = await NvmeController.open(space, functions[0]!);
    assert.equal(controller.namespaces.length, 1);
  });

  it("that stops answering fails what is outstanding, and still lets go", async () => {
    const namespace = controller.namespaces[0]!;
    const { data, close } = host(4096);
    await namespace.read(0, 1, data);
    const config = controller.device.region(CONFIG_SPACE);
    config.write16(PCI_COMMAND, 0); // memory decode off, bus mastering off
    await assert.rejects(namespace.read(0, 1, data), { code: "DEVICE_GONE" });
    await controller.close();
    close();
  });

  it("refuses a function that is no NVMe controller", async () => {
    const bridge = [...new PciTree(platform.topology()).functions.values()][0]!;
    await assert.rejects(NvmeController.open(space, bridge), { code: "NOT_NVME" });
  });

  it("has a memory buffer that its own and its peer's commands reach at the address it is given", async () => {
    const cmb = controller.memory.cmb()!;
    assert.deepEqual(
      [cmb.bar, cmb.size, cmb.abilities],
      [2, 64 << 20, ["SQS", "CQS", "LISTS", "RDS", "WDS"]],
    );
    assert.equal(await controller.memory.pmr(), null);
    const other = await NvmeController.open(space, functions[1]!);
    assert.equal(other.memory.cmb(), null);
    assert.throws(() => other.memory.enableCmb(0x1000), { code: "NO_PROVIDER" });
    await other.close();
  });
});
