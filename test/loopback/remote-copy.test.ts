/** Copies between two ends that are both on the loopback machine's NIC: server and client in one process. */
import assert from "node:assert/strict";
import { z } from "zod";
import { Connection } from "#lib/exchange/connection.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runRemoteCopy, type RemoteCopyPlan } from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import { offer } from "#lib/remote/protocol.js";
import { SessionMachine, type CopyEnd, type EndRequest } from "#lib/remote/machine.js";
import { remoteCopyResult } from "#lib/remote/result.js";
import { Server } from "#lib/remote/server.js";
import { Session } from "#lib/session.js";
import { StreamEnd } from "#lib/stream/end.js";
import type { Staging } from "#lib/stream/plan.js";
import { HOST } from "../support/exchange.js";
import { fill, hashOf, KIB, MIB } from "../support/streams.js";
import { load, namespaceOf, store } from "../device/machine.js";

/** Of the built-in machine `rdma`. */
const [WITH_CMB, PLAIN, CARD] = ["0000:03:00.0", "0000:04:00.0", "0000:05:00.0"];
/** The last block is shorter than the others. */
const SIZE = 4 * MIB + 8 * KIB;

/** Called once when what arrived is flushed, before it is looked at. */
let onFlush: (() => Promise<void>) | undefined;

class Watched extends SessionMachine {
  override async openEnd(request: EndRequest): Promise<CopyEnd> {
    const { stream, volume, commandMs } = await super.openEnd(request);
    const flush = volume.flush.bind(volume);
    volume.flush = async () => {
      await flush();
      await onFlush?.();
      onFlush = undefined;
    };
    return { stream, volume, commandMs };
  }
}

describe("a copy between machines, on the loopback machine", function () {
  this.timeout(120_000);
  let session: Session;
  let server: Server;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 5 });
  });
  afterEach(async () => {
    await server.close();
    await session.close();
  });

  async function prepare(
    stagings: { here: Staging; there: Staging } = { here: "host", there: "host" },
  ): Promise<(rest?: Partial<RemoteCopyPlan>) => ReturnType<typeof runRemoteCopy>> {
    const provider = stagings.there === "p2pmem" ? await session.provider(CARD) : undefined;
    const allowWrite = true;
    server = await Server.listen({
      exports: [parseExport(`scratch=${PLAIN}@1m`)],
      machine: new Watched(session, {
        ...{ nic: { port: 2 }, staging: stagings.there, allowWrite },
        ...(provider === undefined ? {} : { provider }),
      }),
      ...{ host: HOST, port: 0, allowWrite, timeoutMs: 20_000 },
      ...{ maxConnections: 1, maxIodepth: 8, maxBs: MIB },
    });
    const machine = new SessionMachine(session, {
      ...{ nic: { port: 1 }, staging: stagings.here, allowWrite },
    });
    await fill(session, WITH_CMB, SIZE, 7);
    await fill(session, `${PLAIN}@1m`, SIZE, 8);
    return (rest = {}) =>
      runRemoteCopy(machine, {
        local: parseEndpoint(WITH_CMB),
        remote: { host: HOST, port: server.port, namespace: "scratch", offset: 0 },
        ...{ from: "local" as const, size: SIZE, bs: 16 * KIB, iodepth: 8, verify: true },
        ...{ timeoutMs: 20_000, reconnectMs: 0 },
        ...rest,
      });
  }

  for (const [here, there] of [
    ["host", "host"],
    ["cmb", "p2pmem"],
    ["auto", "auto"],
  ] as const)
    for (const from of ["local", "remote"] as const)
      it(`arrives through ${here} here and ${there} there, the source being ${from}`, async () => {
        const copy = await prepare({ here, there });
        const ends = [WITH_CMB, `${PLAIN}@1m`] as const;
        const [source, destination] = from === "local" ? ends : [ends[1], ends[0]];
        const expected = await hashOf(session, source, SIZE);
        const run = await copy({ from });
        assert.equal(await hashOf(session, destination, SIZE), expected);
        assert.equal(run.reports.own.verify_bytes, SIZE);
        assert.equal(run.reports.remote.bytes, SIZE);
        const hostBytes = (staging: string): number => (staging === "host" ? 2 * SIZE : 0);
        assert.equal(run.reports.own.traffic.host_memory_bytes, hostBytes(run.local.memory));
        assert.equal(run.reports.remote.traffic.host_memory_bytes, hostBytes(run.remote.memory));
        assert.equal(run.local.memory === "host", here === "host");
        assert.equal(run.remote.memory === "host", there === "host");
      });

  it("finds what the destination does not keep, and says where", async () => {
    const copy = await prepare();
    const namespace = await namespaceOf(session, PLAIN);
    const at = MIB + 5 * 16 * KIB + 512;
    // Changed behind its back, between the flush and the look.
    onFlush = async () => {
      const block = await load(session, namespace, at, 512);
      block[3]! ^= 1;
      await store(session, namespace, at, block);
    };
    await assert.rejects(copy(), {
      code: "DATA_MISMATCH",
      message: /block 5 of 16384 bytes: 0000:04:00.0\/1, LBA 2208 has CRC-32C/,
    });
  });

  /** Of 16 blocks those before `first` are confirmed. Both ends are connected; the client's does not run. */
  async function connectByHand(first: number) {
    await prepare();
    const client = await Connection.connect(HOST, server.port, { role: "copy", timeoutMs: 20_000 });
    const any = z.looseObject({});
    const place = { name: "mine", offset: 0, blockSize: 512 };
    const [copy, bs, iodepth, blocks] = ["0".repeat(32), 16 * KIB, 8, 16];
    const size = blocks * bs;
    const range = { namespace: "scratch", offset: 0, length: null };
    client.send({ type: "open", copy, ...range, access: "write" });
    await client.receive(any);
    client.send({ type: "plan", size, bs, iodepth, verify: false, first, place });
    const { offer: theirs } = await client.receive(offer);
    const end = await StreamEnd.open(session, {
      ...{ role: "source", endpoint: parseEndpoint(WITH_CMB), staging: "host", port: 1 },
      ...{ rdma: session.rdmaDevice(), bs, iodepth, size, first, allowWrite: false },
    });
    end.connect(theirs);
    client.send({ type: "offer", offer: end.offer, staging: end.staging });
    await client.receive(any);
    return { client, end, iodepth };
  }

  it("ends a stream whose client says that it is done, and goes without ending it", async () => {
    // All is confirmed already, it says.
    const { client, end, iodepth } = await connectByHand(16);
    const measured = {
      ...{ bytes: 0, runtime_ns: 0, iodepth, notes: [], verify_bytes: 0 },
      lat_ns: { min: null, mean: null, max: null, percentile: {} },
      cpu: { usr_ns: 0, sys_ns: 0, busy_ns: 0 },
      traffic: {
        ...{ source: "derived", host_memory_bytes: null },
        ...{ host_control_bytes: null, root_complex_bytes: null },
      },
    };
    client.send({ type: "done", report: measured });
    client.close();
    // Which waits for what is in flight.
    await server.close();
    await end.close();
  });

  it("ends a client that is there and moves nothing, soon after a command would have ended", async () => {
    const { client, end } = await connectByHand(0);
    await assert.rejects(client.receive(z.looseObject({}), 60_000), {
      code: "PEER_GONE",
      message: /nothing has moved between both sides for 15 s/,
    });
    client.close();
    await end.close();
  });

  it("says in its result what both ends did", async () => {
    const copy = await prepare();
    const plan = {
      local: parseEndpoint(WITH_CMB),
      remote: { host: HOST, port: server.port, namespace: "scratch", offset: 0 },
      ...{ from: "remote" as const, bs: 16 * KIB, iodepth: 8, verify: true },
      ...{ timeoutMs: 1, reconnectMs: 0 },
    };
    const result = remoteCopyResult(plan, await copy({ from: "remote" }));
    assert.equal(result.src, `rdma://127.0.0.1:${server.port}/scratch`);
    assert.equal(result.bytes, SIZE);
    assert.deepEqual(result.verify, { mode: "crc32c", blocks: 257, mismatches: 0 });
    assert.ok(result.lat_ns.min! > 0 && result.lat_ns.min! <= result.lat_ns.max!);
    assert.equal(result.ends.src.staging, "host");
    assert.equal(result.ends.dst.cpu.busy_ns > 0, true);
  });
});
