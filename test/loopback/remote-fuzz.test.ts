/** A server of copies with a namespace and a NIC, and clients that are broken or mean harm. */
import fc from "fast-check";
import { parseExport } from "#lib/remote/exports.js";
import { SessionMachine } from "#lib/remote/machine.js";
import { Server } from "#lib/remote/server.js";
import { Session } from "#lib/session.js";
import { HOST } from "../support/exchange.js";
import { attack, conduct, type Target } from "../support/hostile-client.js";

const SIZE = 64 * 1024;

describe("A server of copies, on the loopback machine", function () {
  this.timeout(120_000);

  it("lives on whatever clients say at whatever time, and keeps no place, range or queue for them", async () => {
    const session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 5 });
    const events: Target["events"] = [];
    const machine = new SessionMachine(session, {
      ...{ nic: { port: 2 }, staging: "host", allowWrite: true },
    });
    const server = await Server.listen({
      ...{ exports: [parseExport(`scratch=0000:04:00.0@1m+${SIZE}`)], machine, allowWrite: true },
      ...{ host: HOST, port: 0, timeoutMs: 20_000 },
      ...{ maxConnections: 1, maxIodepth: 8, maxBs: 1 << 20 },
      onEvent: (event) => events.push(event),
    });
    const target = { port: server.port, namespace: "scratch", size: SIZE, events };
    try {
      await fc.assert(
        fc.asyncProperty(conduct, (given) => attack(target, given)),
        { numRuns: 150, endOnFailure: true },
      );
    } finally {
      await server.close();
      await session.close();
    }
  });
});
