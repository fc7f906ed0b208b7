/** Ends of a copy between machines that do not fit each other, or a device. */
import assert from "node:assert/strict";
import { Connection } from "#lib/exchange/connection.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runRemoteCopy, type RemoteCopyPlan } from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import { SessionMachine } from "#lib/remote/machine.js";
import * as protocol from "#lib/remote/protocol.js";
import { Server, type ServerEvent } from "#lib/remote/server.js";
import { Session } from "#lib/session.js";
import type { StreamOffer } from "#lib/stream/offer.js";
import { HOST, PATIENT } from "../support/exchange.js";
import { KIB } from "../support/streams.js";

const BS = 16 * KIB;
const SIZE = 4 * BS;

describe("a copy between machines whose ends do not fit", () => {
  let session: Session;
  let server: Server;
  let machine: SessionMachine;
  let events: ServerEvent[];

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 5 });
    machine = new SessionMachine(session, { nic: {}, staging: "host", allowWrite: true });
    events = [];
    server = await Server.listen({
      ...{ exports: [parseExport("scratch=0000:04:00.0")], machine, allowWrite: true },
      ...{ host: HOST, port: 0, timeoutMs: 20_000 },
      ...{ maxConnections: 1, maxIodepth: 8, maxBs: 1 << 20 },
      onEvent: (event) => events.push(event),
    });
  });
  afterEach(async () => {
    await server.close();
    await session.close();
  });

  const copy = (rest: Partial<RemoteCopyPlan> = {}) =>
    runRemoteCopy(machine, {
      local: parseEndpoint("0000:03:00.0"),
      remote: { host: HOST, port: server.port, namespace: "scratch", offset: 0 },
      ...{ from: "local" as const, size: SIZE, bs: BS, iodepth: 4, verify: true },
      ...{ timeoutMs: 20_000, reconnectMs: 0 },
      ...rest,
    });

  /** A NIC that registers no more at once; both ends are on it. */
  function limitRegions(bytes: number): void {
    const { attributes } = session.rdmaDevice();
    Object.defineProperty(attributes, "maxRegionBytes", { value: BigInt(bytes) });
  }

  /** Of a client whose end is not of the plan. What the server says to that. */
  async function mismatched(
    change: (offer: StreamOffer) => Partial<StreamOffer>,
  ): Promise<unknown> {
    const client = await Connection.connect(HOST, server.port, PATIENT);
    client.send({
      ...{ type: "open", copy: "0".repeat(32), namespace: "scratch", offset: 0 },
      ...{ length: null, access: "write" },
    });
    const { place } = await client.receive(protocol.opened);
    const counts = { size: SIZE, bs: BS, iodepth: 4, first: 0 };
    client.send({ type: "plan", ...counts, verify: true, place });
    const { offer, staging } = await client.receive(protocol.offer);
    const own = { ...offer, role: "source" as const };
    client.send({ type: "offer", offer: { ...own, ...change(own) }, staging });
    return client.receive(protocol.ready).catch((error: unknown) => error);
  }

  it("is refused by the server where sizes differ, which then serves the next one", async () => {
    for (const [code, message, change] of [
      ["SIZE_MISMATCH", /a block has 16384 bytes here, 8192 at the/, { blockBytes: BS / 2 }],
      ["SIZE_MISMATCH", /the range has 65536 bytes here, 81920 at the/, { size: SIZE + BS }],
      ["BAD_MESSAGE", /memory is smaller than its slots/, { stride: 2 * BS }],
      ["BAD_ARGUMENT", /both ends of the stream are its destination/, { role: "destination" }],
    ] as const) {
      const error = (await mismatched(() => change)) as { code: string; message: string };
      assert.equal(error.code, code);
      assert.match(error.message, message);
    }
    await copy();
    const failed = events.filter(({ event }) => event === "failed").map(({ error }) => error!.code);
    assert.deepEqual(failed, ["SIZE_MISMATCH", "SIZE_MISMATCH", "BAD_MESSAGE", "BAD_ARGUMENT"]);
  });

  it("has as many blocks in flight as a NIC registers memory for, and says so", async () => {
    limitRegions(3 * BS);
    const { iodepth, reports } = await copy();
    assert.equal(iodepth, 3);
    assert.match(reports.own.notes.join(), /3 blocks in flight, not 4: .* registers no more/);
  });

  it("is refused where not one block fits in a region, before any memory is taken", async () => {
    limitRegions(BS - 1);
    await assert.rejects(copy(), {
      code: "REGION_TOO_LARGE",
      message: /registers up to 16383 bytes at once, too little for a block of 16384$/,
      hint: /smaller block size/,
    });
    await copy({ bs: BS / 2 });
  });
});
