import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runRemoteCopy, type RemoteCopyPlan } from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import { Server, type ServerEvent, type ServerOptions } from "#lib/remote/server.js";
import { HOST } from "../../support/exchange.js";
import { FakeMachine, Network, Store, type Wire } from "../../support/fake-copy.js";

const BS = 4096;
/** The last block is shorter. */
const SIZE = 64 * BS + 512;
const OURS = "0000:01:00.0/1";
const THEIRS = "0000:02:00.0/1";

describe("Copies between machines", () => {
  let ours: Store;
  let theirs: Store;
  let client: FakeMachine;
  let remote: FakeMachine;
  let server: Server;
  let network: Network;
  let directory: string;
  let events: ServerEvent[];

  const serve = (rest: Partial<ServerOptions> = {}): Promise<Server> =>
    Server.listen({
      ...{ exports: ["scratch=02:00.0", "part=02:00.0@8k+16k"].map(parseExport), machine: remote },
      ...{ host: HOST, port: 0, allowWrite: true, timeoutMs: 20_000 },
      ...{ maxConnections: 4, maxIodepth: 16, maxBs: 1 << 20 },
      onEvent: (event) => events.push(event),
      ...rest,
    });

  const copy = (rest: Partial<RemoteCopyPlan> = {}) =>
    runRemoteCopy(client, {
      local: parseEndpoint(OURS),
      remote: { host: HOST, port: network.port, namespace: "scratch", offset: 0 },
      ...{ from: "local", size: SIZE, bs: BS, iodepth: 8, verify: true },
      ...{ timeoutMs: 20_000, reconnectMs: 20_000 },
      ...rest,
    });

  const at = (namespace: string, offset = 0, length?: number) => ({
    remote: {
      ...{ host: HOST, port: network.port, namespace, offset },
      ...(length === undefined ? {} : { length }),
    },
  });

  beforeEach(async () => {
    ours = new Store(randomBytes(SIZE));
    theirs = new Store(randomBytes(2 * SIZE));
    const wire: Wire = new Map();
    client = new FakeMachine(wire, { [OURS]: ours });
    remote = new FakeMachine(wire, { [THEIRS]: theirs });
    events = [];
    server = await serve();
    network = await new Network(server.port).open();
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-remote-"));
  });
  afterEach(async () => {
    network.close();
    await server.close();
    assert.deepEqual([client.open, remote.open], [0, 0], "all streams are closed");
    rmSync(directory, { recursive: true });
  });

  const assertCopied = (): void => {
    assert.ok(theirs.durable.subarray(0, SIZE).equals(ours.bytes));
  };

  for (const verify of [true, false])
    it(`arrive, flushed, ${verify ? "compared" : "not compared"}, in either direction`, async () => {
      const pushed = await copy({ verify });
      assertCopied();
      assert.equal(pushed.reports.own.bytes, SIZE);
      assert.equal(pushed.reports.own.verify_bytes, verify ? SIZE : 0);
      assert.equal(pushed.reports.remote.verify_bytes, verify ? SIZE : 0);
      assert.equal(pushed.reconnects, 0);
      theirs.bytes.fill(7);
      await copy({ verify, from: "remote" });
      assert.ok(ours.durable.every((byte) => byte === 7));
      await server.close();
      assert.deepEqual(
        events.map(({ event, access }) => [event, access]),
        [
          ["begun", "write"],
          ["done", "write"],
          ["begun", "read"],
          ["done", "read"],
        ],
      );
    });

  for (const from of ["local", "remote"] as const)
    it(`name the first block that arrived wrong, and never confirm it (from ${from})`, async () => {
      const destination = from === "local" ? remote : client;
      destination.spoil = (block, bytes) => {
        if (block === 17) bytes[100]! ^= 1;
      };
      const resume = path.join(directory, "journal");
      await assert.rejects(copy({ from, resume, size: 64 * BS }), {
        code: "DATA_MISMATCH",
        message: new RegExp(
          `block 17 of 4096 bytes: ${from === "local" ? THEIRS : OURS}, LBA 136 has CRC-32C`,
        ),
      });
      const { confirmed } = JSON.parse(readFileSync(resume, "utf8")) as { confirmed: number };
      assert.ok(confirmed <= 17);
      // The server lets go of the range when nothing of it is in flight any more.
      while (remote.open > 0) await new Promise(setImmediate);
      // Unlike one that nobody looks at.
      await copy({ from, verify: false, size: 64 * BS });
    });

  it("go on at the last confirmed block when the connection breaks, wherever it does", async () => {
    for (const broken of [0, 1, 30, 64]) {
      theirs.bytes.fill(0);
      theirs.flush();
      let isCut = false;
      client.onBlock = (block) => {
        if (block !== broken || isCut) return;
        isCut = true;
        network.cut();
        theirs.losePower();
      };
      const { reconnects } = await copy();
      assert.ok(reconnects >= 1);
      assertCopied();
    }
  });

  it("go on with another server, once it is there", async () => {
    let isCut = false;
    const notes: string[] = [];
    client.onBlock = async (block) => {
      if (block !== 40 || isCut) return;
      isCut = true;
      network.target = null;
      void server.close();
      network.cut();
      theirs.losePower();
      server = await serve();
      setTimeout(() => (network.target = server.port), 300);
    };
    const { reconnects } = await copy({ onNote: (note) => notes.push(note) });
    assert.ok(reconnects >= 2);
    assert.match(notes[0]!, /going on at block \d+/);
    assertCopied();
  });

  it("end when nothing helps for as long as they may try, and at once if they may not", async () => {
    client.onBlock = (block) => {
      if (block !== 40) return;
      network.target = null;
      network.cut();
    };
    for (const reconnectMs of [250, 0]) {
      network.target = server.port;
      await assert.rejects(copy({ reconnectMs }), { code: "PEER_GONE" });
    }
  });

  it("do not go on with another namespace than before", async () => {
    let isCut = false;
    client.onBlock = (block) => {
      if (block !== 40 || isCut) return;
      isCut = true;
      remote.alter = (range) => ({ ...range, identity: "S2" });
      network.cut();
    };
    await assert.rejects(copy(), { code: "PEER_CHANGED" });
  });

  it("that were killed go on from their journal, and only the same ones do", async () => {
    const resume = path.join(directory, "journal");
    const abort = new AbortController();
    const read: number[] = [];
    client.onBlock = async (block) => {
      read.push(block);
      // What is before it is confirmed when half a second has passed.
      if (block === 30)
        while ((JSON.parse(readFileSync(resume, "utf8")) as { confirmed: number }).confirmed < 20)
          await new Promise(setImmediate);
      if (block === 50) abort.abort();
    };
    await assert.rejects(copy({ resume, signal: abort.signal }), { code: "INTERRUPTED" });
    theirs.losePower();
    for (const other of [
      { bs: 2 * BS },
      { size: SIZE - 512 },
      { from: "remote" },
      at("part", 0),
    ] as const)
      await assert.rejects(copy({ resume, ...other }), /BAD_JOURNAL|another copy|has 16384/);
    const before = read.length;
    const { resumedBytes } = await copy({ resume });
    assert.ok(resumedBytes >= 20 * BS);
    assert.equal(read[before], resumedBytes / BS);
    assertCopied();
    assert.ok(!existsSync(resume), "the next one begins anew");
  });

  it("reach no server before their own end is there, however long that takes", async () => {
    const impatient = await serve({ timeoutMs: 400 });
    network.target = impatient.port;
    const range = client.range.bind(client);
    client.range = async (endpoint) => {
      await delay(600);
      return range(endpoint);
    };
    await copy();
    assertCopied();
    await impatient.close();
  });

  it("refuse what is not served, is read-only, in use, or does not fit", async () => {
    await assert.rejects(copy(at("other")), { code: "NO_EXPORT", hint: /scratch, part/ });
    await assert.rejects(copy(at(THEIRS)), { code: "NO_EXPORT" });
    await assert.rejects(copy({ ...at("part"), size: 33 * 512 }), { code: "BAD_RANGE" });
    await assert.rejects(copy({ ...at("part", 16 << 10), size: BS }), { code: "BAD_RANGE" });
    await assert.rejects(copy({ ...at("part", 4096, 16 << 10), size: BS }), { code: "BAD_RANGE" });
    await assert.rejects(copy({ size: 1000 }), { code: "UNALIGNED" });
    await assert.rejects(copy({ size: SIZE + 512 }), { code: "BAD_RANGE" });
    await assert.rejects(copy({ bs: 2 << 20, size: 2 << 20 }), { code: "BAD_SIZE" });
    const reader = await serve({ allowWrite: false });
    network.target = reader.port;
    await assert.rejects(copy(), { code: "WRITE_NOT_ALLOWED" });
    await copy({ from: "remote" });
    await reader.close();
  });

  it("take as many blocks in flight as the server does, and say so", async () => {
    const { notes } = await copy({ iodepth: 100 });
    assert.match(notes[0]!, /16 blocks in flight, not 100/);
  });

  it("keep off a range that another one writes", async () => {
    let second: Promise<unknown> | undefined;
    client.onBlock = (block) => {
      if (block !== 5 || second !== undefined) return;
      second = assert.rejects(copy({ size: BS }), { code: "IN_USE" });
      return second as Promise<void>;
    };
    await copy();
    await second;
  });

  it("write within the part that is served", async () => {
    const before = Buffer.from(theirs.bytes);
    await copy({ ...at("part", 4096), size: 8192 });
    ours.bytes.copy(before, 12 << 10, 0, 8192);
    assert.ok(theirs.durable.equals(before));
  });

  it("end with the server, which waits until nothing is in flight", async () => {
    client.onBlock = (block) => {
      if (block === 10) void server.close().then(() => assert.equal(remote.open, 0));
    };
    await assert.rejects(copy({ reconnectMs: 200 }), ({ code }: { code: string }) =>
      ["PEER_GONE", "NO_ROUTE"].includes(code),
    );
  });
});
