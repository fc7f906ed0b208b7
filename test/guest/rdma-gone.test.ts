/** An RDMA device that is deleted while it is in use, and comes back. Runs inside the lab only. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { EventType, type RdmaEvent } from "#lib/rdma/events.js";
import { STATUS_SUCCESS } from "#lib/rdma/status.js";
import type { Session } from "#lib/session.js";
import { Link, openSession } from "../rdma/link.js";

/** iproute2's, as scripts/lab/soft-roce has it. */
function rdmaLink(...words: string[]): void {
  const { status, stderr } = spawnSync("rdma", ["link", ...words], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

describe("an RDMA device that is deleted", () => {
  let session: Session;

  before(async () => {
    session = await openSession();
  });
  after(() => session.close());

  it("is given to nobody any more, lets all be closed, and is opened anew once it is back", async () => {
    const device = session.rdmaDevice();
    const link = new Link(device);
    const { region } = link.host(4096);
    assert.equal(await link.statusOf(region, region, 64), STATUS_SUCCESS);
    const told = new EventTarget();
    device.onEvent(({ type }: RdmaEvent) => told.dispatchEvent(new Event(String(type))));
    const isLost = once(told, String(EventType.DEVICE_FATAL), {
      signal: AbortSignal.timeout(20_000),
    });
    rdmaLink("delete", "rxe0");
    try {
      await isLost;
      assert.throws(() => session.rdmaDevice(), { code: "NO_RDMA_DEVICE" });
      assert.throws(() => device.port(1), { code: "IO", device: "rxe0" });
    } finally {
      rdmaLink("add", "rxe0", "type", "rxe", "netdev", "dummy0");
    }
    const again = session.rdmaDevice();
    assert.notEqual(again, device);
    const other = new Link(again);
    const { region: fresh } = other.host(4096);
    // The old one's end, which is none to the new one.
    link.close();
    device.close();
    assert.equal(await other.statusOf(fresh, fresh, 64), STATUS_SUCCESS);
    assert.equal(session.rdmaDevice(), again);
    other.close();
  });
});
