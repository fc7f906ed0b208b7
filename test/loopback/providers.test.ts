/** What a controller's own memory answers to, as only the loopback machine can show it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { P2pError } from "#lib/errors.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Session } from "#lib/session.js";
import { namespaceOf } from "../device/machine.js";
import { rawVector } from "../support/raw-vector.js";

const NVME = "0000:01:00.0";
const MACHINE = `
root_ports:
  - device: nvme
    namespaces: [{ size: 1m }]
    cmb: 1m
    pmr: 1m
`;

describe("the CMB and the PMR of a loopback controller", () => {
  let directory: string;
  let session: Session;
  let namespace: NvmeNamespace;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-"));
    writeFileSync(join(directory, "machine.yaml"), MACHINE);
  });
  after(() => rmSync(directory, { recursive: true }));

  beforeEach(async () => {
    session = await Session.open({ machine: join(directory, "machine.yaml") });
    namespace = await namespaceOf(session, NVME);
  });
  afterEach(() => session.close());

  /** Whether the controller's own DMA to where the provider is, or was, gets to some memory. */
  async function answers({ iova }: Provider): Promise<boolean> {
    session.addressSpace.takeFaults();
    await namespace.read(
      0,
      1,
      rawVector(namespace.controller.address, [{ address: iova, length: 512 }]),
    );
    return session.addressSpace.takeFaults()!.length === 0;
  }

  for (const kind of ["cmb", "pmr"] as const)
    it(`answers to no address once nothing is mapped there: the ${kind.toUpperCase()}`, async () => {
      const provider = await session.provider(`${NVME}/${kind}`);
      assert.equal(await answers(provider), true);
      await provider.close();
      assert.equal(await answers(provider), false);
      const again = await session.provider(`${NVME}/${kind}`);
      assert.equal(await answers(again), true);
    });

  it("answer as long as any part of them is open", async () => {
    const low = await session.provider(`${NVME}/cmb@0+64k`);
    const high = await session.provider(`${NVME}/cmb@64k+64k`);
    await low.close();
    assert.equal(await answers(high), true);
    await high.close();
    assert.equal(await answers(high), false);
  });

  it("are found by nobody before they have been told where they are", async () => {
    const controller = await session.controller(NVME);
    const enable = controller.memory.enablePmr.bind(controller.memory);
    let found: unknown = null;
    controller.memory.enablePmr = (base) => {
      try {
        session.findProvider([NVME], 4096);
      } catch (error) {
        found = error;
      }
      enable(base);
    };
    const provider = await session.provider(`${NVME}/pmr`);
    assert.ok(found instanceof P2pError && found.code === "NO_PROVIDER");
    assert.equal(session.findProvider([NVME], 4096), provider);
  });
});
