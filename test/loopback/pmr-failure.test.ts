/** A PMR that fails while its controller is well. */
import assert from "node:assert/strict";
import { PciTree } from "#lib/pci/tree.js";
import { Session } from "#lib/session.js";
import { load, namespaceOf } from "../device/machine.js";
import { FaultyMachine } from "../support/faulty-machine.js";
import { machineWith, NVME0 } from "../support/raw-nvme.js";

const MIB = 1 << 20;
const PMRCTL = 0xe04;
/** PMRSTS: ERR; HSTS 3, unreliable; NRDY. */
const [LOST_WRITES, UNRELIABLE, NOT_READY] = [1, 3 << 9, 1 << 8];

describe("a persistent memory region that fails", () => {
  let machine: FaultyMachine;
  let session: Session;

  beforeEach(() => {
    machine = new FaultyMachine(
      machineWith({
        namespaces: [{ size: MIB, block: 512, file: null }],
        pmr: { size: MIB, file: null },
      }),
    );
    const chosen = { platform: machine, pci: new PciTree(machine.topology()), reason: "a test" };
    session = Reflect.construct(Session, [chosen, {}]) as Session;
  });

  afterEach(() => session.close());

  it("is switched off and on by a reset, which clears PMRSTS.ERR", async () => {
    const controller = await session.controller(NVME0);
    const provider = await session.provider(`${NVME0}/pmr`);
    const allocation = provider.pool.alloc(4096);
    machine.pmrStatus.set(NVME0, { bits: LOST_WRITES, isForGood: false });
    await controller.reset();
    assert.equal(controller.device.region(0).read32(PMRCTL), 1, "it answers as before");
    provider.pool.free(allocation);
    await provider.close();
    (await session.provider(`${NVME0}/pmr`)).barrier();
  });

  for (const [what, bits, code] of [
    ["has lost writes", LOST_WRITES, "PMR_FAILED"],
    ["is unreliable", UNRELIABLE, "PMR_FAILED"],
    ["does not become ready", NOT_READY, "PMR_NOT_READY"],
  ] as const)
    it(`is lost alone, not its controller, where after a reset it ${what}`, async () => {
      const controller = await session.controller(NVME0);
      const namespace = await namespaceOf(session, NVME0);
      const provider = await session.provider(`${NVME0}/pmr`);
      const allocation = provider.pool.alloc(4096);
      machine.pmrStatus.set(NVME0, { bits, isForGood: true });
      await controller.reset();
      controller.assertAlive();
      await load(session, namespace, 0, 4096);
      provider.pool.free(allocation);
      await provider.close();
      const began = performance.now();
      await assert.rejects(session.provider(`${NVME0}/pmr`), { code });
      assert.ok(performance.now() - began < 2000, "it is not waited for again");
      const ranges = await session.providerRanges(NVME0);
      assert.deepEqual(
        ranges.map(({ label }) => label),
        ["cmb"],
      );
      machine.pmrStatus.delete(NVME0);
      await controller.reset();
      await session.provider(`${NVME0}/pmr`);
    });

  it("is not even switched on for who wants other memory", async () => {
    const { device } = await session.controller(NVME0);
    for (const name of [`${NVME0}/cmb@0+1m`, `${NVME0}/cmb@1m+1m`])
      await (await session.provider(name)).close();
    await (await session.provider(NVME0)).close();
    assert.equal(device.region(0).read32(PMRCTL), 0);
  });
});
