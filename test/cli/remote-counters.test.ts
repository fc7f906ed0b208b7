/**
 * What a copy between machines in two processes makes cross the host memory of either, by the counters of
 * the loopback machine that is in this process; the other side is the command.
 */
import assert from "node:assert/strict";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runRemoteCopy } from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import { SessionMachine } from "#lib/remote/machine.js";
import { Server } from "#lib/remote/server.js";
import { Session } from "#lib/session.js";
import { p2pmem } from "../support/command.js";
import { Serving } from "../support/serving.js";
import { WiredMachines } from "../support/wired-machines.js";

const BYTES = 8 << 20;
const BS = 64 << 10;
/** Identify data, a look at the way before its first use, and a header with each block. */
const BESIDES_DATA = BYTES / 32;

describe("a copy between machines in two processes", function () {
  this.timeout(120_000);
  let machines: WiredMachines;
  let session: Session;
  beforeEach(() => {
    machines = new WiredMachines(BYTES, { hasCards: true });
  });
  afterEach(() => {
    machines.close();
  });

  async function open(name: "client" | "server"): Promise<void> {
    const machine = machines.path(`${name}.yaml`);
    session = await Session.open({ platform: "loopback", machine, timeout: 10 });
  }
  const machineOf = (staging: "host" | "p2pmem"): SessionMachine =>
    new SessionMachine(session, { nic: {}, staging, allowWrite: true });
  /** Of which each byte is copied once. */
  function assertCrossed(staging: "host" | "p2pmem"): void {
    const { hostMemoryBytes } = session.platform.traffic()!;
    const data = staging === "host" ? 2 * BYTES : 0;
    const besides = hostMemoryBytes - data;
    assert.ok(besides >= 0 && besides < BESIDES_DATA, `${hostMemoryBytes} bytes`);
    assert.ok(machines.isCopied);
  }

  for (const staging of ["host", "p2pmem"] as const) {
    const what = staging === "host" ? "crosses it twice" : "leaves it alone";
    it(`staged in ${staging} ${what} at the client`, async () => {
      const args = [...machines.serveArgs(), "--listen", "127.0.0.1:0", "--allow-write"];
      const serving = await Serving.start(...args, "--staging", staging);
      try {
        await open("client");
        const { port } = new URL(serving.url);
        await runRemoteCopy(machineOf(staging), {
          local: parseEndpoint(machines.nvme),
          remote: { host: "127.0.0.1", port: Number(port), namespace: "scratch", offset: 0 },
          ...{ from: "local", bs: BS, iodepth: 8, verify: false },
          ...{ timeoutMs: 20_000, reconnectMs: 20_000 },
        });
        assertCrossed(staging);
      } finally {
        await serving.stop("SIGKILL");
        await session.close();
      }
    });

    it(`staged in ${staging} ${what} at the server`, async () => {
      await open("server");
      const server = await Server.listen({
        exports: [parseExport(`scratch=${machines.nvme}`)],
        ...{ machine: machineOf(staging), host: "127.0.0.1", port: 0, allowWrite: true },
        ...{ timeoutMs: 20_000, maxConnections: 1, maxIodepth: 8, maxBs: BS },
      });
      try {
        const url = `rdma://127.0.0.1:${server.port}/scratch`;
        const { code, stderr } = await p2pmem(
          ...["copy", ...machines.args("client"), machines.nvme, url, "--staging", staging],
          ...["--bs", `${BS}`, "--iodepth", "8", "--verify=none"],
        );
        assert.equal(code, 0, stderr);
        assertCrossed(staging);
      } finally {
        await server.close();
        await session.close();
      }
    });
  }
});
