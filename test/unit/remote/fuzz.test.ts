import { randomBytes } from "node:crypto";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseExport } from "#lib/remote/exports.js";
import { Server } from "#lib/remote/server.js";
import { HOST } from "../../support/exchange.js";
import { FakeMachine, Store } from "../../support/fake-copy.js";
import { attack, conduct, type Target } from "../../support/hostile-client.js";

describe("A server of copies, between streams that are none", function () {
  this.timeout(120_000);

  it("lives on whatever clients say at whatever time, and keeps no place or range for them", async () => {
    const theirs = new Store(randomBytes(64 * 1024));
    const machine = new FakeMachine(new Map(), { "0000:02:00.0/1": theirs });
    const events: Target["events"] = [];
    const server = await Server.listen({
      ...{ exports: [parseExport("scratch=02:00.0")], machine, allowWrite: true },
      ...{ host: HOST, port: 0, timeoutMs: 20_000 },
      ...{ maxConnections: 1, maxIodepth: 16, maxBs: 1 << 20 },
      onEvent: (event) => events.push(event),
    });
    const target = { port: server.port, namespace: "scratch", size: 64 * 1024, events };
    try {
      await fc.assert(
        fc.asyncProperty(conduct, (given) => attack(target, given)),
        { numRuns: 300, endOnFailure: true },
      );
    } finally {
      await server.close();
    }
    assert.equal(machine.open, 0, "all streams are closed");
  });
});
