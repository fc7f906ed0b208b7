import assert from "node:assert/strict";
import { prepareSource } from "#lib/copy/verify.js";
import { Session } from "#lib/session.js";
import { planOf } from "../device/machine.js";

const MIB = 2 ** 20;
const WRITTEN = 32 * MIB;
const MACHINES = 8;

describe("a loopback machine that was closed", () => {
  it("has given its media back, whoever still holds the objects of its session", async () => {
    const held: unknown[] = [];
    const before = process.memoryUsage().rss;
    for (let i = 0; i < MACHINES; i++) {
      const session = await Session.open({ platform: "loopback" });
      const [source, destination] = session.pci.functions.filter(({ isNvme }) => isNvme);
      const plan = planOf(source!.address, destination!.address, { bs: MIB, size: WRITTEN });
      await prepareSource(session, plan, "pattern", i);
      held.push(session, await session.controller(source!.address));
      await session.close();
    }
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 3 * WRITTEN, `${held.length} objects held ${Math.round(grown / MIB)} MiB`);
  });
});
