import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPath } from "#lib/copy/plan.js";
import { deriveTraffic } from "#lib/copy/traffic.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { planOf } from "../device/machine.js";

const SIZE = 2 ** 20;
const [SOURCE, NEIGHBOUR, CARD, FAR] = [3, 4, 5, 6].map((bus) => parseBdf(`0000:0${bus}:00.0`));

/** The default machine, with these bits on at the ports of source, neighbour and card. */
function machineFile(source: string, neighbour: string, card: string): string {
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

describe("traffic derived from the routes is what the fabric counts", () => {
  const machines: [string, string, string, string][] = [
    ["nothing redirects", "", "", ""],
    ["all ports redirect", "sv, rr, cr, uf", "sv, rr, cr, uf", "sv, rr, cr, uf"],
    ["the source's requests are redirected", "rr", "", ""],
    ["the neighbour's requests are redirected", "", "rr", ""],
    ["the completions of source and card are redirected", "cr", "", "cr"],
  ];
  const folder = mkdtempSync(join(tmpdir(), "p2pmem-traffic-"));
  after(() => rmSync(folder, { recursive: true }));

  for (const [title, ...acs] of machines)
    describe(title, () => {
      let session: Session;
      before(async () => {
        const machine = join(folder, "machine.yaml");
        writeFileSync(machine, machineFile(...acs));
        session = await Session.open({ machine });
      });
      after(() => session.close());

      for (const path of ["p2p", "cpu"] satisfies CopyPath[])
        for (const destination of [NEIGHBOUR!, FAR!])
          for (const device of [CARD!, SOURCE!])
            it(`${path} from ${SOURCE!} to ${destination} through ${device}`, async () => {
              const provider = await session.provider(device);
              const rest = { path, provider, size: SIZE };
              const { traffic } = await runCopy(session, planOf(SOURCE!, destination, rest));
              assert.equal(traffic.source, "counted");
              const legs = {
                ...{ path, source: SOURCE!, destination },
                provider: { device, isIdentityMapped: provider.isIdentityMapped },
              };
              const derived = deriveTraffic(session.pci, legs, SIZE);
              assert.equal(derived.root_complex_bytes, traffic.root_complex_bytes);
              assert.equal(derived.host_memory_bytes, traffic.host_memory_bytes);
            });
    });
});
