import assert from "node:assert/strict";
import { copy } from "#lib/copy/by-name.js";
import type { PeerMapping } from "#lib/dma/peer-mapping.js";
import { Session } from "#lib/session.js";
import { p2pmem } from "../support/command.js";
import { probeReport } from "../support/result-schema.js";
import { devicesOf, load, namespaceOf, pattern, store } from "../device/machine.js";

const SIZE = 64 * 1024;

describe("a path between devices that VFIO owns", () => {
  it("is proved before its first copy, and one that loses data is refused with nothing copied", async () => {
    const session = await Session.open({ platform: "vfio" });
    try {
      const { nvme1, nvme2, card } = devicesOf(session);
      const space = session.addressSpace;
      const mapPeer = space.mapPeer.bind(space);
      let mapping: PeerMapping | undefined;
      space.mapPeer = (memory, busAddress) => (mapping = mapPeer(memory, busAddress));
      const destination = await namespaceOf(session, nvme2);
      const untouched = pattern(SIZE, 61);
      await store(session, await namespaceOf(session, nvme1), 0, pattern(SIZE, 62));
      await store(session, destination, 0, untouched);
      await session.provider(card);
      mapping!.close();

      const job = { src: nvme1, dst: nvme2, provider: card, size: SIZE, allowWrite: true };
      for (const via of ["p2p", "cpu"] as const)
        await assert.rejects(copy(session, { ...job, via }), {
          ...{ code: "PATH_LOSES_DATA", message: /: lost, /, hint: /p2pmem probe/ },
        });
      assert.deepEqual(await load(session, destination, 0, SIZE), untouched);

      const { verify } = await copy(session, { ...job, via: "host", verify: true });
      assert.equal(verify?.mismatches, 0, "the way through host memory needs no proof");
    } finally {
      await session.close();
    }
  });

  it("is shown by the command", async () => {
    const { NVME1, NVME2, CARD } = process.env;
    const { code, stdout, stderr } = await p2pmem(
      ...["probe", NVME1!, CARD!, NVME2!, "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const { platform, verdict, faults, legs } = probeReport.parse(JSON.parse(stdout));
    assert.equal(platform, "vfio");
    assert.equal(verdict, "proved");
    assert.deepEqual(faults, []);
    assert.deepEqual(new Set(legs.map(({ outcome }) => outcome)), new Set(["proved"]));
  });
});
