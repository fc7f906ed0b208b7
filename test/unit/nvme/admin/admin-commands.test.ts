import assert from "node:assert/strict";
import type { AddressSpace } from "#lib/dma/address-space.js";
import { AdminCommands } from "#lib/nvme/admin/admin-commands.js";
import type { AdminCommand, AdminQueue } from "#lib/nvme/queues/admin-queue.js";
import { parseBdf } from "#lib/pci/bdf.js";

const PAGE = 4096;
const BASE = 0x1_0000_0000;

/** A controller that answers admin commands out of plain memory. */
class FakeAdmin {
  readonly commands: AdminCommand[] = [];
  readonly identity = new DataView(new ArrayBuffer(PAGE));
  readonly memory = new Uint8Array(64 * PAGE);
  live = 0;
  /** What a command leaves in memory; `at(n)`: where byte n of its data is. */
  answer: (command: AdminCommand, at: (offset: number) => number) => number = () => 0;

  readonly admin = new AdminCommands(
    {
      device: parseBdf("0000:03:00.0"),
      execute: (command: AdminCommand) => this.#execute(command),
    } as unknown as AdminQueue,
    { allocate: (size: number) => this.#allocate(size) } as unknown as AddressSpace,
  );

  constructor({ mdts = 0, lpa = 4, oncs = 0x10, elpe = 0 } = {}) {
    this.identity.setUint8(77, mdts);
    this.identity.setUint8(261, lpa);
    this.identity.setUint8(262, elpe);
    this.identity.setUint16(520, oncs, true);
  }

  /** As a driver begins. */
  async identified(): Promise<this> {
    await this.admin.identifyController(PAGE);
    this.commands.length = 0;
    return this;
  }

  /** Where byte `offset` of a command's data is, by its PRPs, for data of so many pages. */
  byteAt({ prp1 = 0, prp2 = 0 }: AdminCommand, pages: number, offset: number): number {
    const page = Math.floor(offset / PAGE);
    const list = new BigUint64Array(this.memory.buffer, 0, this.memory.length / 8);
    const entry = (): number => Number(list[(prp2 - BASE) / 8 + page - 1]);
    const start = page === 0 ? prp1 : pages === 2 ? prp2 : entry();
    return start - BASE + (offset % PAGE);
  }

  #execute(command: AdminCommand): Promise<number> {
    this.commands.push(command);
    if (command.opcode === 6 && command.cdw10 === 1) {
      this.memory.set(new Uint8Array(this.identity.buffer), (command.prp1 ?? 0) - BASE);
      return Promise.resolve(0);
    }
    const bytes = command.opcode === 2 ? (((command.cdw10 ?? 0) >>> 16) + 1) * 4 : PAGE;
    const pages = Math.ceil(bytes / PAGE);
    return Promise.resolve(this.answer(command, (offset) => this.byteAt(command, pages, offset)));
  }

  /** What the code under test is given is the device's memory itself: one buffer at a time. */
  #allocate(size: number): unknown {
    assert.ok(size <= this.memory.length);
    assert.equal(this.live++, 0);
    this.memory.fill(0);
    const close = (): void => {
      this.live--;
    };
    return { buffer: this.memory.buffer, iova: BASE, close };
  }
}

describe("Admin commands", () => {
  it("page through all active namespaces by the last id of each list", async () => {
    const fake = new FakeAdmin();
    const ids = Array.from({ length: 2500 }, (_, i) => 3 * i + 1);
    fake.answer = ({ nsid = 0 }) => {
      const list = new Uint32Array(fake.memory.buffer, 0, 1024).fill(0);
      list.set(ids.filter((id) => id > nsid).slice(0, 1024));
      return 0;
    };
    assert.deepEqual(await fake.admin.activeNamespaces(), ids);
    assert.deepEqual(
      fake.commands.map(({ nsid }) => nsid),
      [0, ids[1023], ids[2047]],
    );
    assert.equal(fake.live, 0);
  });

  it("do not page for ever where a list does not ascend", async () => {
    const fake = new FakeAdmin();
    fake.answer = () => {
      new Uint32Array(fake.memory.buffer, 0, 1024).fill(7);
      return 0;
    };
    assert.equal((await fake.admin.activeNamespaces()).length, 2048);
  });

  it("are no way to commands that destroy data or break the driver", () => {
    const { admin } = new FakeAdmin();
    const names = Object.getOwnPropertyNames(AdminCommands.prototype);
    assert.ok(names.includes("identify") && names.includes("setFeature"));
    for (const name of ["execute", "submit", "setNumberOfQueues"])
      assert.ok(!(name in admin), name);
    assert.deepEqual(Object.keys(admin), [], "nor is its queue to be had");
  });

  describe("read a log page", () => {
    /** Byte n of any log page is made of n. */
    const byte = (n: number): number => (n * 7 + (n >>> 8)) & 0xff;
    const serve = (fake: FakeAdmin): void => {
      fake.answer = ({ cdw10 = 0, cdw12 = 0, cdw13 = 0 }, at) => {
        const length = ((cdw10 >>> 16) + 1) * 4;
        for (let i = 0; i < length; i++) fake.memory[at(i)] = byte(cdw12 + cdw13 * 2 ** 32 + i);
        return 0;
      };
    };

    for (const bytes of [4, 512, PAGE, PAGE + 4, 2 * PAGE, 2 * PAGE + 4, 17 * PAGE])
      it(`of ${bytes} bytes with one command, by PRPs that name each page`, async () => {
        const fake = await new FakeAdmin().identified();
        serve(fake);
        const data = await fake.admin.logPage(0xc0, bytes);
        assert.equal(data.byteLength, bytes);
        for (let i = 0; i < bytes; i++) assert.equal(data.getUint8(i), byte(i), `byte ${i}`);
        assert.equal(fake.commands.length, 1);
        const [{ nsid, cdw10 = 0 }] = fake.commands as [AdminCommand];
        assert.equal(nsid, 0xffff_ffff);
        assert.equal(cdw10 & 0xffff, 0xc0);
        assert.equal(fake.live, 0);
      });

    it("in parts of what the controller moves, the event masked until the last", async () => {
      const fake = await new FakeAdmin({ mdts: 1 }).identified();
      serve(fake);
      const data = await fake.admin.logPage(5, 20_000, { offset: 0x1_0000_0400 });
      for (let i = 0; i < 20_000; i++) assert.equal(data.getUint8(i), byte(0x1_0000_0400 + i));
      const seen = fake.commands.map(({ cdw10 = 0, cdw12, cdw13 }) => [
        ((cdw10 >>> 16) + 1) * 4,
        (cdw10 >>> 15) & 1,
        cdw12,
        cdw13,
      ]);
      assert.deepEqual(seen, [
        [8192, 1, 0x400, 1],
        [8192, 1, 0x2400, 1],
        [3616, 0, 0x4400, 1],
      ]);
    });

    it("with the fields that were asked for, where the command has them", async () => {
      const fake = await new FakeAdmin().identified();
      const options = { nsid: 3, lsp: 0xa, lsi: 0x1234, retainEvent: true };
      await fake.admin.logPage(7, 4, options);
      const [{ nsid, cdw10, cdw11 }] = fake.commands as [AdminCommand];
      assert.deepEqual([nsid, cdw10, cdw11], [3, 0x8a07, 0x1234_0000]);
    });

    it("from its start only, where there are no offsets, and up to 16 KiB", async () => {
      const fake = await new FakeAdmin({ lpa: 3 }).identified();
      serve(fake);
      assert.equal((await fake.admin.logPage(5, 4 * PAGE)).byteLength, 4 * PAGE);
      await assert.rejects(fake.admin.logPage(5, 4 * PAGE + 4), { code: "UNSUPPORTED" });
      await assert.rejects(fake.admin.logPage(5, 4, { offset: 4 }), { code: "UNSUPPORTED" });
      for (const [bytes, offset] of [
        [0, 0],
        [6, 0],
        [4, -4],
        [4, 2],
      ] as const)
        await assert.rejects(fake.admin.logPage(5, bytes, { offset }), { code: "BAD_RANGE" });
    });

    it("of errors with as many entries as there are", async () => {
      const fake = await new FakeAdmin({ elpe: 63 }).identified();
      assert.deepEqual(await fake.admin.errorLog(), []);
      assert.equal(fake.commands[0]!.cdw10! >>> 16, (64 * 64) / 4 - 1);
    });

    it("of errors in part, where it has no offsets and moves less than all", async () => {
      const fake = await new FakeAdmin({ elpe: 255, lpa: 0, mdts: 1 }).identified();
      fake.answer = (_, at) => {
        fake.memory[at(127 * 64)] = 1; // the count of the last entry that fits
        return 0;
      };
      assert.equal((await fake.admin.errorLog()).length, 1);
      assert.deepEqual(
        fake.commands.map(({ cdw10 }) => cdw10! >>> 16),
        [8192 / 4 - 1],
      );
    });

    it("of changed namespaces, which may say that there were too many", async () => {
      const fake = await new FakeAdmin().identified();
      const list = new Uint32Array(fake.memory.buffer, 0, 1024);
      fake.answer = () => {
        list.fill(0).set([4, 9]);
        return 0;
      };
      assert.deepEqual(await fake.admin.changedNamespaces(), [4, 9]);
      fake.answer = () => {
        list.fill(0).set([0xffff_ffff]);
        return 0;
      };
      assert.equal(await fake.admin.changedNamespaces(), null);
    });
  });

  describe("and features", () => {
    it("are read by value, by parts, and by what can be done with them", async () => {
      const fake = await new FakeAdmin().identified();
      fake.answer = ({ cdw10 = 0 }) => (cdw10 >>> 8 === 3 ? 5 : 0x21_0155);
      assert.deepEqual(await fake.admin.feature(4, { select: "default", cdw11: 0x10000 }), {
        value: 0x21_0155,
        fields: { tmpth: 0x155, tmpsel: 1, thsel: 2 },
        data: null,
      });
      assert.deepEqual(await fake.admin.featureCapabilities(4), {
        saveable: true,
        namespaceSpecific: false,
        changeable: true,
      });
      assert.deepEqual(
        fake.commands.map(({ opcode, cdw10, cdw11, prp1 }) => [opcode, cdw10, cdw11, prp1]),
        [
          [0x0a, 0x104, 0x10000, undefined],
          [0x0a, 0x304, 0, undefined],
        ],
      );
    });

    it("have data where the specification says so", async () => {
      const fake = await new FakeAdmin().identified();
      fake.answer = (_, at) => {
        fake.memory[at(15)] = 0x77;
        return 0;
      };
      const { data } = await fake.admin.feature(0x81);
      assert.deepEqual([data?.byteLength, data?.getUint8(15)], [16, 0x77]);
      assert.equal(fake.commands[0]?.cdw11, 1, "the identifier of 128 bits");
      let sent: number[] = [];
      fake.answer = (_, at) => {
        sent = [...fake.memory.subarray(at(0), at(8))];
        return 0;
      };
      const time = Uint8Array.of(1, 2, 3, 4, 5, 6, 0, 0);
      await fake.admin.setFeature(0x0e, 0, { data: time });
      assert.deepEqual(sent, [...time]);
      await assert.rejects(fake.admin.setFeature(0x0e, 0), { code: "BAD_RANGE" });
      await assert.rejects(fake.admin.setFeature(1, 0, { data: time }), { code: "BAD_RANGE" });
    });

    it("are set for the time being, and for good only if that is asked for", async () => {
      const fake = await new FakeAdmin().identified();
      fake.answer = () => 9;
      assert.equal(await fake.admin.setFeature(6, 1), 9);
      await fake.admin.setFeature(6, 0, { save: true, nsid: 2 });
      assert.deepEqual(
        fake.commands.map(({ opcode, nsid, cdw10, cdw11 }) => [opcode, nsid, cdw10! >>> 0, cdw11]),
        [
          [9, 0, 6, 1],
          [9, 2, 0x8000_0006, 0],
        ],
      );
    });

    it("that break the driver, outlive it or are not known are not set", async () => {
      const fake = await new FakeAdmin().identified();
      for (const id of [0x03, 0x07, 0x0d, 0x0f, 0x17, 0x81, 0x82, 0x83, 0x84, 0x85, 0xc0])
        await assert.rejects(fake.admin.setFeature(id, 1), { code: "FEATURE_NOT_ALLOWED" });
      assert.equal(fake.commands.length, 0);
    });

    it("have no other than current values where the controller keeps no others", async () => {
      const fake = await new FakeAdmin({ oncs: 0 }).identified();
      await fake.admin.feature(6);
      for (const refused of [
        () => fake.admin.feature(6, { select: "saved" }),
        () => fake.admin.featureCapabilities(6),
        () => fake.admin.setFeature(6, 1, { save: true }),
      ])
        await assert.rejects(refused, { code: "UNSUPPORTED" });
      assert.equal(fake.commands.length, 1);
    });
  });
});
