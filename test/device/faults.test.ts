import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { NativeDmaFault } from "#lib/addon.js";
import type { DmaBuffer } from "#lib/dma/dma-buffer.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Session } from "#lib/session.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { rawVector } from "../support/raw-vector.js";
import { devicesOf, isLab, load, namespaceOf, openSession, pattern, store } from "./machine.js";

const SIZE = 4096;

/**
 * The silent loss: a DMA that the IOMMU refuses is dropped, and the command succeeds all the same.
 * Only the data and the IOMMU's own record tell.
 */
describe("a DMA that the IOMMU refuses", () => {
  let session: Session;
  let namespace: NvmeNamespace;
  let blocks: number;
  const bytes = pattern(SIZE, 3);

  before(async () => {
    session = await openSession();
    namespace = await namespaceOf(session, devicesOf(session).nvme1);
    blocks = SIZE / namespace.blockSize;
  });

  after(() => session.close());

  beforeEach(async () => {
    await store(session, namespace, 0, bytes);
    session.addressSpace.takeFaults();
  });

  function vectorAt(address: number): DmaVector {
    return rawVector(namespace.controller.address, [{ address, length: SIZE }]);
  }

  function contents(buffer: DmaBuffer): Uint8Array {
    return new Uint8Array(buffer.buffer, 0, SIZE);
  }

  /**
   * Runs a command whose DMA to `address` is refused, and waits for the record of it. The kernel
   * drops records beyond some four in 5 s (dmar_fault(), its rate limit), so in the lab the command
   * may have to run again; the loopback machine records every one.
   */
  async function assertFault(
    address: number,
    write: boolean,
    command: () => Promise<void>,
  ): Promise<void> {
    const record = (): NativeDmaFault | undefined =>
      session.addressSpace.takeFaults()?.find(({ iova }) => Number(iova) === address);
    await command();
    let fault = record();
    while (fault === undefined && isLab) {
      await delay(100);
      fault = record();
      if (fault === undefined) await command();
    }
    assert.ok(fault, "there is a record");
    assert.equal(fault.device, namespace.controller.address);
    assert.equal(fault.write, write);
    assert.notEqual(fault.reason, "");
  }

  /** An IOVA that was mapped a moment ago, and is free now. */
  function freedAddress(): number {
    const buffer = session.addressSpace.allocate(SIZE);
    buffer.close();
    return buffer.iova;
  }

  it("to an address that is not mapped, is lost and recorded", async () => {
    const address = 2 ** 37;
    await assertFault(address, true, () => namespace.read(0, blocks, vectorAt(address)));
  });

  it("from an address that is not mapped, leaves zeros on the medium and is recorded", async () => {
    const address = 2 ** 37 + SIZE;
    await assertFault(address, false, () => namespace.write(0, blocks, vectorAt(address)));
    assert.deepEqual(await load(session, namespace, 0, SIZE), new Uint8Array(SIZE));
  });

  it("to memory that it may only read, changes nothing there and is recorded", async () => {
    const access = { read: true, write: false };
    const buffer = session.addressSpace.allocate(SIZE, { deviceAccess: access });
    try {
      const poison = pattern(SIZE, 4);
      contents(buffer).set(poison);
      await assertFault(buffer.iova, true, () => namespace.read(0, blocks, vectorAt(buffer.iova)));
      assert.deepEqual(contents(buffer), poison);

      await namespace.write(0, blocks, vectorAt(buffer.iova));
      assert.deepEqual(await load(session, namespace, 0, SIZE), poison, "reading it is allowed");
    } finally {
      buffer.close();
    }
  });

  it("to memory that was unmapped, is lost and recorded", async () => {
    const address = freedAddress();
    await assertFault(address, true, () => namespace.read(0, blocks, vectorAt(address)));
  });

  it("in one page of several, loses that page alone", async () => {
    const buffer = session.addressSpace.allocate(2 * SIZE);
    const hole = 2 ** 37 + 2 * SIZE;
    try {
      const more = pattern(3 * SIZE, 5);
      await store(session, namespace, 0, more);
      session.addressSpace.takeFaults();
      const pieces = [buffer.iova, hole, buffer.iova + SIZE].map((address) => ({
        address,
        length: SIZE,
      }));
      const vector = rawVector(namespace.controller.address, pieces);
      await assertFault(hole, true, () => namespace.read(0, 3 * blocks, vector));
      assert.deepEqual(contents(buffer), more.subarray(0, SIZE));
      assert.deepEqual(
        new Uint8Array(buffer.buffer, SIZE, SIZE),
        more.subarray(2 * SIZE, 3 * SIZE),
      );
    } finally {
      buffer.close();
    }
  });

  it("leaves the controller working", async () => {
    await namespace.read(0, blocks, vectorAt(2 ** 37));
    assert.deepEqual(await load(session, namespace, 0, SIZE), bytes);
  });
});
