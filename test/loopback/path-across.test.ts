import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { provePath } from "#lib/proof/path.js";
import { Session } from "#lib/session.js";
import { namespaceOf, store } from "../device/machine.js";
import { FILLINGS } from "../support/meddle.js";

describe("the proof of a path across a root complex", () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-proof-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  /** One controller beside the card below a switch, one on a root port of its own. */
  function openMachine(forwards: string): Promise<Session> {
    const machine = join(directory, `${forwards}.yaml`);
    writeFileSync(
      machine,
      `host_bridge: { forwards: ${forwards} }
root_ports:
  - device: switch
    ports: [{ device: nvme }, { device: card, memory: 16m }]
  - device: nvme
`,
    );
    return Session.open({ machine });
  }

  const below = { "source write": "proved", "source read": "proved" };
  for (const [forwards, across] of [
    ["all", { "destination write": "proved", "destination read": "proved" }],
    ["writes", { "destination write": "proved", "destination read": "lost" }],
    ["none", { "destination write": "lost", "destination read": "lost" }],
  ] as const)
    for (const [title, bytes] of FILLINGS)
      it(`that forwards ${forwards} tells each leg apart, with ${title}`, async () => {
        const session = await openMachine(forwards);
        try {
          const [near, far] = session.pci.functions.filter((fn) => fn.isNvme);
          const provider = await session.provider("0000:04:00.0");
          for (const { address } of [near!, far!])
            await store(session, await namespaceOf(session, address), 0, bytes);
          const { legs, faults, verdict } = await provePath(session, {
            source: parseEndpoint(near!.address),
            destination: parseEndpoint(far!.address),
            ...{ provider, allowWrite: false },
          });
          assert.deepEqual(
            Object.fromEntries(
              legs.map(({ client, direction, outcome }) => [`${client} ${direction}`, outcome]),
            ),
            { ...below, ...across },
          );
          assert.deepEqual(faults, [], "the IOMMU has nothing against it");
          assert.equal(verdict, forwards === "all" ? "proved" : "loses data");
        } finally {
          await session.close();
        }
      });
});
