import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPath, CopyPlan } from "#lib/copy/plan.js";
import { deriveTraffic, type Legs } from "#lib/copy/traffic.js";
import type { Traffic } from "#lib/io/traffic.js";
import type { Bdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { planOf } from "../device/machine.js";

const SIZE = 2 ** 20;

const ALL = "sv, rr, cr, uf";

/** The default machine, with these bits on at the ports of source, neighbour and card. */
function oneSwitch(source: string, neighbour: string, card: string): string {
  return `
root_ports:
  - device: switch
    ports:
      - { device: nvme, cmb: 64m, acs: [${source}] }
      - { device: nvme, acs: [${neighbour}] }
      - { device: card, memory: 256m, acs: [${card}] }
  - device: nvme
`;
}

/** The source and a neighbour below a switch, the card below one beneath that; one more at the root. */
function twoLevels(source: string, upper: string, lower: string): string {
  return `
root_ports:
  - device: switch
    ports:
      - { device: nvme, cmb: 64m, acs: [${source}] }
      - { device: nvme }
      - device: switch
        acs: [${upper}]
        ports:
          - { device: card, memory: 256m, acs: [${lower}] }
  - device: nvme
`;
}

describe("traffic derived from the routes is what the fabric counts", () => {
  const machines: [string, string][] = [
    ["nothing redirects", oneSwitch("", "", "")],
    ["all ports redirect", oneSwitch(ALL, ALL, ALL)],
    ["the source's requests are redirected", oneSwitch("rr", "", "")],
    ["the neighbour's requests are redirected", oneSwitch("", "rr", "")],
    ["the completions of source and card are redirected", oneSwitch("cr", "", "cr")],
    ["two levels of switches", twoLevels("", "", "")],
    ["two levels, the card's completions redirected below", twoLevels("", "", "cr")],
    ["two levels, and redirected above", twoLevels("rr", "cr", "")],
  ];
  const folder = mkdtempSync(join(tmpdir(), "p2pmem-traffic-"));
  after(() => rmSync(folder, { recursive: true }));

  for (const [title, text] of machines)
    describe(title, () => {
      let session: Session;
      let source: Bdf;
      let neighbour: Bdf;
      let far: Bdf;
      let card: Bdf;

      before(async () => {
        const machine = join(folder, "machine.yaml");
        writeFileSync(machine, text);
        session = await Session.open({ machine });
        const { functions } = session.pci;
        [source, neighbour, far] = functions
          .filter(({ isNvme }) => isNvme)
          .map(({ address }) => address) as [Bdf, Bdf, Bdf];
        card = functions.find(
          ({ isNvme, isBridge, parent }) => !isNvme && !isBridge && parent,
        )!.address;
      });
      after(() => session.close());

      for (const path of ["p2p", "cpu", "host"] satisfies CopyPath[])
        for (const [to, destination] of [
          ["its neighbour", () => neighbour],
          ["one at the root", () => far],
        ] as const)
          for (const [through, providerOf] of [
            ["the card", () => card],
            ["the source's CMB", () => source],
          ] as const)
            it(`${path} to ${to} through ${through}`, async () => {
              const device = providerOf();
              const provider = path === "host" ? null : await session.provider(device);
              const plan = planOf(source, destination(), { path, provider, size: SIZE });
              const { traffic } = await runCopy(session, plan);
              assert.equal(traffic.source, "counted");
              const derived = deriveTraffic(
                session.pci,
                {
                  ...{ path, source, destination: destination() },
                  provider: provider && { device, isIdentityMapped: provider.isIdentityMapped },
                },
                SIZE,
              );
              assert.equal(derived.root_complex_bytes, traffic.root_complex_bytes);
              assert.equal(derived.host_memory_bytes, traffic.host_memory_bytes);
              assert.deepEqual(byLink(derived), byLink(traffic));
              assert.ok(traffic.links!.length > 0);
            });

      it("crosses no link and no root complex where the controller copies", () => {
        const legs: Legs = { path: "nvme-copy", source, destination: source, provider: null };
        const { links, root_complex_bytes, host_memory_bytes } = deriveTraffic(
          session.pci,
          legs,
          SIZE,
        );
        assert.deepEqual({ links, root_complex_bytes, host_memory_bytes }, NOTHING);
      });
    });
});

const NOTHING = { links: [], root_complex_bytes: 0, host_memory_bytes: 0 };

function byLink({ links }: Traffic): Record<string, number> {
  return Object.fromEntries(links!.map(({ link, bytes }) => [link, bytes]));
}

describe("the meters of a loopback machine", () => {
  let session: Session;
  before(async () => (session = await Session.open({ platform: "loopback" })));
  after(() => session.close());

  const plan = (): CopyPlan => planOf("0000:03:00.0", "0000:06:00.0", { size: SIZE });

  it("tell the time that its devices took, of a run alone", async () => {
    const began = process.hrtime.bigint();
    const { cpu } = await runCopy(session, plan());
    const took = Number(process.hrtime.bigint() - began);
    assert.ok(cpu.deviceNs! > 0 && cpu.deviceNs! < took, `${cpu.deviceNs} of ${took} ns`);
  });

  it("tell nothing of a run that shared the machine with another", async () => {
    let beside!: ReturnType<typeof runCopy>;
    await new Promise<void>((begun) => {
      beside = runCopy(session, { ...plan(), runtime: 1, onProgress: () => begun() });
    });
    for (const { traffic, cpu } of [await runCopy(session, plan()), await beside])
      assert.deepEqual(
        [cpu.deviceNs, traffic.links, traffic.host_memory_bytes],
        [null, null, null],
      );
  });

  it("name a link by its lower end, and count both directions over it", async () => {
    const { traffic } = await runCopy(session, plan());
    // Up from the source over its switch's link, and down to the destination at the root.
    assert.deepEqual(byLink(traffic), {
      "0000:01:00.0": SIZE,
      "0000:03:00.0": SIZE,
      "0000:06:00.0": SIZE,
    });
  });
});
