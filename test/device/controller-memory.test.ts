/** CMB and PMR; in the lab on the machine that it was booted with, so that `legacy-cmb` has its turn. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { readPeer } from "../support/peer-bytes.js";
import { rawVector } from "../support/raw-vector.js";
import { devicesOf, isLab, load, namespaceOf, openSession, pattern } from "./machine.js";
import { planOf, store, withVector, type Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;
const [CMBMSC, PMRCTL, PMRSTS, PMRMSC] = [0x50, 0xe04, 0xe08, 0xe14];
const CAP_CMBS = 1 << 25;

const LEGACY = fileURLToPath(new URL("../../test/device/legacy-cmb.yaml", import.meta.url));
const machines = isLab ? [process.env.P2PMEM_LAB_MACHINE ?? "default"] : ["default", "legacy-cmb"];

for (const machine of machines)
  describe(`memory on the controller, machine ${machine}`, () => {
    let session: Session;
    let devices: Devices;

    beforeEach(async () => {
      session =
        machine === "legacy-cmb" && !isLab
          ? await Session.open({ platform: "loopback", machine: LEGACY })
          : await openSession();
      devices = devicesOf(session);
    });
    afterEach(() => session.close());

    /** A copy of 256 KiB that must arrive. */
    async function assertCopies(plan: CopyPlan, seed: number) {
      const sized = { ...plan, size: 256 * KIB };
      await prepareSource(session, sized, "pattern", seed);
      const result = await runCopy(session, sized);
      const { mismatches } = await verifyDestination(session, sized, "pattern", seed);
      assert.equal(mismatches, 0);
      assert.deepEqual(session.addressSpace.takeFaults() ?? [], []);
      return result;
    }

    const cmb = (): Promise<Provider> => session.provider(`${devices.nvmeCmb}/cmb`);
    const pmr = (): Promise<Provider> => session.provider(`${devices.nvme2}/pmr`);

    it("is where its peers find it, and nothing else of the address space is there", async () => {
      for (const [provider, register] of [
        [await cmb(), CMBMSC],
        [await pmr(), PMRMSC],
      ] as const) {
        const { device } = await session.controller(provider.fn.address);
        const bar0 = device.region(0);
        if (register === PMRMSC || (bar0.read32(4) & CAP_CMBS) !== 0) {
          const low = bar0.read32(register);
          const base = bar0.read32(register + 4) * 2 ** 32 + (low - (low % PAGE));
          assert.equal(base, provider.iova);
          assert.equal(low & 2, 2); // CMSE
        } else assert.equal(provider.iova, provider.busAddress);
        const buffers = Array.from({ length: 64 }, (_, i) =>
          session.addressSpace.allocate(i % 8 === 0 ? 2 * MIB : PAGE),
        );
        for (const { iova, size } of buffers)
          assert.ok(iova + size <= provider.iova || iova >= provider.iova + provider.size);
        for (const buffer of buffers) buffer.close();
      }
    });

    it("takes and gives the data of its own controller and of peers", async () => {
      const { nvmeCmb, nvme1, nvme2 } = devices;
      const rest = { path: "p2p", provider: await cmb(), bs: 64 * KIB, iodepth: 2 } as const;
      await assertCopies(planOf(nvmeCmb, nvme1, rest), 1);
      await assertCopies(planOf(nvme1, nvmeCmb, rest), 2);
      await assertCopies(planOf(nvme1, nvme2, rest), 3);
      const kept = { ...rest, provider: await pmr() };
      await assertCopies(planOf(nvme2, nvme1, kept), 4);
      await assertCopies(planOf(nvme1, nvme2, kept), 5);
      await assertCopies(planOf(nvmeCmb, nvme1, kept), 6);
    });

    it("holds submission queues and lists, with the data beside them in the same CMB", async () => {
      const { nvmeCmb, nvme1 } = devices;
      const provider = await cmb();
      const rest = { path: "p2p", provider, bs: 60 * KIB, iodepth: 3 } as const;
      const both = { ...rest, descriptors: "prp", sqInCmb: true, listsInCmb: true } as const;
      const outward = await assertCopies(planOf(nvmeCmb, nvme1, both), 11);
      assert.deepEqual(outward.inCmb, ["src sq", "src lists"]);
      assert.match(outward.notes.join(), new RegExp(`${nvme1} has no controller memory buffer`));
      const inward = await assertCopies(planOf(nvme1, nvmeCmb, both), 12);
      assert.deepEqual(inward.inCmb, ["dst sq", "dst lists"]);
      const queue = await assertCopies(planOf(nvmeCmb, nvme1, { ...rest, sqInCmb: true }), 13);
      assert.deepEqual(queue.inCmb, ["src sq"]);
      assert.equal(provider.pool.available, provider.size, "all is given back");
    });

    it("holds them for copies by way of host memory, too", async () => {
      const data = { bs: 64 * KIB, iodepth: 2, descriptors: "prp" } as const;
      const rest = { ...data, sqInCmb: true, listsInCmb: true };
      const result = await assertCopies(planOf(devices.nvmeCmb, devices.nvme1, rest), 21);
      assert.deepEqual(result.inCmb, ["src sq", "src lists"]);
    });

    it("holds none where neither controller has any: that is an error, not host memory", async () => {
      const plan = planOf(devices.nvme1, devices.nvme2, { size: MIB });
      for (const use of [{ sqInCmb: true }, { listsInCmb: true }])
        await assert.rejects(runCopy(session, { ...plan, ...use }), {
          code: "NO_ABILITY",
          message: new RegExp(`${devices.nvme1} has no controller memory buffer; ${devices.nvme2}`),
        });
    });

    it("answers as before once it was hidden and restored, and a PMR has kept what it held", async () => {
      const { nvmeCmb, nvme1, nvme2 } = devices;
      const providers = [await cmb(), await pmr()] as const;
      const [source, kept] = [await namespaceOf(session, nvme1), providers[1]];
      const bytes = pattern(8 * PAGE, 31);
      await store(session, source, 0, bytes);
      const list = kept.allocScatterlist(bytes.length);
      const blocks = bytes.length / source.blockSize;
      await withVector(list, source, (vector) => source.read(0, blocks, vector));
      kept.barrier();
      for (const address of [nvmeCmb, nvme2]) {
        const { memory, device } = await session.controller(address);
        const bar0 = device.region(0);
        const registers = () =>
          [CMBMSC, CMBMSC + 4, PMRCTL, PMRSTS, PMRMSC, PMRMSC + 4].map((at) => bar0.read32(at));
        const before = registers();
        memory.hide();
        await memory.restore();
        assert.deepEqual(registers(), before);
      }
      const target = await namespaceOf(session, nvme2);
      await withVector(list, target, (vector) => target.write(0, blocks, vector));
      assert.deepEqual(await load(session, target, 0, bytes.length), bytes);
      kept.freeScatterlist(list);
      const rest = { path: "p2p", provider: providers[0], bs: 16 * KIB, sqInCmb: true } as const;
      await assertCopies(planOf(nvmeCmb, nvme1, rest), 32);
    });

    it("answers as before after a reset of its controller, and takes its data", async () => {
      for (const provider of [await cmb(), await pmr()]) {
        const { address } = provider.fn;
        const controller = await session.controller(address);
        const namespace = await namespaceOf(session, address);
        const bytes = pattern(PAGE, 33);
        await store(session, namespace, 0, bytes);
        const allocation = provider.pool.alloc(PAGE); // so it stays where it is
        const bar0 = controller.device.region(0);
        const registers = () =>
          [CMBMSC, CMBMSC + 4, PMRCTL, PMRSTS, PMRMSC, PMRMSC + 4].map((at) => bar0.read32(at));
        const before = registers();
        await controller.reset();
        assert.deepEqual(registers(), before);
        const at = { address: provider.iova + allocation.offset, length: PAGE };
        const vector = rawVector(parseBdf(address), [at]);
        await namespace.read(0, PAGE / namespace.blockSize, vector);
        assert.deepEqual(readPeer(provider, allocation.offset, PAGE), bytes);
        provider.pool.free(allocation);
      }
    });
  });
