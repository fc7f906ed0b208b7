import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { Session } from "#lib/session.js";
import { load, pattern, store } from "../device/machine.js";

const SPLIT = "0000:01:00.0";
const FAILING = "0000:02:00.0";

/** Two namespaces of unlike blocks behind a small MDTS; and a controller whose commands fail. */
const MACHINE = `
root_ports:
  - device: nvme
    max_transfer: 8k
    namespaces:
      - { size: 4m }
      - { size: 4m, block: 4096 }
  - device: nvme
    namespaces: [{ size: 1m, block: 4096 }]
    faults:
      - { on: io, status: [2, 0x80] }
      - { on: io, status: [0, 0x83], dnr: true }
      - { on: io, status: [0, 0x20], dnr: true }
`;

describe("namespaces", () => {
  let directory: string;
  let session: Session;
  let small: NvmeNamespace;
  let large: NvmeNamespace;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-namespaces-"));
    const machine = join(directory, "machine.yaml");
    writeFileSync(machine, MACHINE);
    session = await Session.open({ machine });
    [small, large] = (await session.controller(SPLIT)).namespaces as [NvmeNamespace, NvmeNamespace];
  });

  after(async () => {
    await session.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it("have blocks of their own size and number", () => {
    assert.deepEqual([small.nsid, small.blockSize, small.blocks], [1, 512, 8192]);
    assert.deepEqual([large.nsid, large.blockSize, large.blocks], [2, 4096, 1024]);
  });

  it("are apart, and transfers of either are split by MDTS", async () => {
    const length = 4 << 20;
    const [a, b] = [pattern(length, 31), pattern(length, 32)];
    await store(session, small, 0, a);
    await store(session, large, 0, b);
    assert.deepEqual(await load(session, small, 0, length), a);
    assert.deepEqual(await load(session, large, 0, length), b);
  });

  it("are zeroed and deallocated by their own blocks, which the other does not notice", async () => {
    const length = 64 << 10;
    const bytes = pattern(length, 33);
    await store(session, small, 0, bytes);
    await store(session, large, 0, bytes);
    await large.writeZeroes(1, 2);
    await large.deallocate([{ lba: 5, blocks: 1 }]);
    const zeroed = bytes
      .slice()
      .fill(0, 4096, 3 * 4096)
      .fill(0, 5 * 4096, 6 * 4096);
    assert.deepEqual(await load(session, large, 0, length), zeroed);
    assert.deepEqual(await load(session, small, 0, length), bytes);
  });

  it("fail by name: which command, which blocks, which status, and what to do", async () => {
    const [namespace] = (await session.controller(FAILING)).namespaces;
    await assert.rejects(namespace!.writeZeroes(4, 8), {
      message: "Write Zeroes of blocks 4 to 11 of namespace 1 failed: Write Fault",
      doNotRetry: false,
    });
    await assert.rejects(namespace!.deallocate([{ lba: 2, blocks: 3 }]), {
      message:
        "Dataset Management (deallocate) of blocks 2 to 4 of namespace 1 failed: Reservation Conflict",
      hint: "another host has reserved it: nvme resv-report",
    });
    const ranges = [
      { lba: 7, blocks: 1 },
      { lba: 9, blocks: 1 },
    ];
    await assert.rejects(namespace!.deallocate(ranges), {
      message:
        "Dataset Management (deallocate) of 2 ranges from block 7 on of namespace 1 failed: " +
        "Namespace is Write Protected",
    });
    await namespace!.deallocate(ranges);
  });

  it("are known again by their NGUID where a file keeps them, and only there", async () => {
    const machine = join(directory, "kept.yaml");
    const file = join(directory, "kept.img");
    writeFileSync(
      machine,
      `root_ports: [{ device: nvme, namespaces: [{ size: 1m, file: ${file} }, { size: 1m }] }]`,
    );
    const read = async (): Promise<string[]> => {
      await using again = await Session.open({ machine });
      const { namespaces } = await again.controller(SPLIT);
      return namespaces.map(({ identity }) => identity.fields.nguid);
    };
    const [before, after] = [await read(), await read()];
    assert.equal(after[0], before[0]);
    assert.notEqual(after[1], before[1]);
  });
});
