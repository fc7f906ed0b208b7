import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RemoteCopyPlan } from "#lib/remote/copy.js";
import type { ServerEvent, ServerOptions } from "#lib/remote/server.js";
import { HOST } from "../../support/exchange.js";
import { BS, OURS, Sides, THEIRS } from "./sides.js";

/** The last block is shorter. */
const SIZE = 64 * BS + 512;

describe("Copies between machines", () => {
  let sides: Sides;
  let events: ServerEvent[];

  const onEvent = (event: ServerEvent) => events.push(event);
  const serve = (rest: Partial<ServerOptions> = {}) => sides.serve({ onEvent, ...rest });
  const copy = (rest: Partial<RemoteCopyPlan> = {}) => sides.copy({ size: SIZE, ...rest });

  const at = (namespace: string, offset = 0, length?: number) => ({
    remote: {
      ...{ host: HOST, port: sides.network.port, namespace, offset },
      ...(length === undefined ? {} : { length }),
    },
  });

  beforeEach(async () => {
    events = [];
    sides = await Sides.open({ ours: SIZE, theirs: 2 * SIZE }, { onEvent });
  });
  afterEach(() => sides.close());

  const assertCopied = (): void => {
    assert.ok(sides.theirs.durable.subarray(0, SIZE).equals(sides.ours.bytes));
  };

  for (const verify of [true, false])
    it(`arrive, flushed, ${verify ? "compared" : "not compared"}, in either direction`, async () => {
      const pushed = await copy({ verify });
      assertCopied();
      assert.equal(pushed.reports.own.bytes, SIZE);
      assert.equal(pushed.reports.own.verify_bytes, verify ? SIZE : 0);
      assert.equal(pushed.reports.remote.verify_bytes, verify ? SIZE : 0);
      assert.equal(pushed.reconnects, 0);
      sides.theirs.bytes.fill(7);
      await copy({ verify, from: "remote" });
      assert.ok(sides.ours.durable.every((byte) => byte === 7));
      await sides.server.close();
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
      const destination = from === "local" ? sides.remote : sides.client;
      destination.spoil = (block, bytes) => {
        if (block === 17) bytes[100]! ^= 1;
      };
      const resume = path.join(sides.directory, "journal");
      await assert.rejects(copy({ from, resume, size: 64 * BS }), {
        code: "DATA_MISMATCH",
        message: new RegExp(
          `block 17 of 4096 bytes: ${from === "local" ? THEIRS : OURS}, LBA 136 has CRC-32C`,
        ),
      });
      const { confirmed } = JSON.parse(readFileSync(resume, "utf8")) as { confirmed: number };
      assert.ok(confirmed <= 17);
      // The server lets go of the range when nothing of it is in flight any more.
      while (sides.remote.open > 0) await new Promise(setImmediate);
      // Unlike one that nobody looks at.
      await copy({ from, verify: false, size: 64 * BS });
    });

  it("go on at the last confirmed block when the connection breaks, wherever it does", async () => {
    for (const broken of [0, 1, 30, 64]) {
      sides.theirs.bytes.fill(0);
      sides.theirs.flush();
      let isCut = false;
      sides.client.onBlock = (block) => {
        if (block !== broken || isCut) return;
        isCut = true;
        sides.network.cut();
        sides.theirs.losePower();
      };
      const { reconnects } = await copy();
      assert.ok(reconnects >= 1);
      assertCopied();
    }
  });

  it("go on with another server, once it is there", async () => {
    let isCut = false;
    const notes: string[] = [];
    sides.client.onBlock = async (block) => {
      if (block !== 40 || isCut) return;
      isCut = true;
      sides.network.target = null;
      void sides.server.close();
      sides.network.cut();
      sides.theirs.losePower();
      sides.server = await serve();
      setTimeout(() => (sides.network.target = sides.server.port), 300);
    };
    const { reconnects } = await copy({ onNote: (note) => notes.push(note) });
    assert.ok(reconnects >= 2);
    assert.match(notes[0]!, /going on at block \d+/);
    assertCopied();
  });

  for (const [moment, note] of [
    ["before it has said what it serves", /; trying again$/],
    ["when it has just begun", /; going on at block 0$/],
  ] as const)
    it(`try again where the server goes ${moment}, for as long as they may`, async () => {
      const notes: string[] = [];
      const cutOnce = (then: () => void) => (): void => {
        [sides.remote.alter, sides.client.onBlock] = [(range) => range, undefined];
        sides.network.target = null;
        sides.network.cut();
        then();
      };
      const tryIt = (reconnectMs: number, then: () => void) => {
        const cut = cutOnce(then);
        if (moment === "when it has just begun") sides.client.onBlock = cut;
        else
          sides.remote.alter = (range) => {
            cut();
            return range;
          };
        return copy({ reconnectMs, onNote: (text) => notes.push(text) });
      };
      const { reconnects } = await tryIt(20_000, () => {
        setTimeout(() => (sides.network.target = sides.server.port), 300);
      });
      assert.ok(reconnects >= 2);
      assert.match(notes[0]!, note);
      assertCopied();
      notes.length = 0;
      const began = performance.now();
      await assert.rejects(
        tryIt(800, () => undefined),
        { code: "PEER_GONE" },
      );
      // After 100, 200 and 400 ms.
      assert.ok(performance.now() - began >= 690);
      assert.match(notes[0]!, note);
    });

  it("end when nothing helps for as long as they may try, and at once if they may not", async () => {
    sides.client.onBlock = (block) => {
      if (block !== 40) return;
      sides.network.target = null;
      sides.network.cut();
    };
    for (const reconnectMs of [250, 0]) {
      sides.network.target = sides.server.port;
      await assert.rejects(copy({ reconnectMs }), { code: "PEER_GONE" });
    }
  });

  it("do not go on with another namespace than before", async () => {
    let isCut = false;
    sides.client.onBlock = (block) => {
      if (block !== 40 || isCut) return;
      isCut = true;
      sides.remote.alter = (range) => ({ ...range, identity: "S2" });
      sides.network.cut();
    };
    await assert.rejects(copy(), { code: "PEER_CHANGED" });
  });

  it("that were killed go on from their journal, and only the same ones do", async () => {
    const resume = path.join(sides.directory, "journal");
    const abort = new AbortController();
    const read: number[] = [];
    sides.client.onBlock = async (block) => {
      read.push(block);
      // What is before it is confirmed when half a second has passed.
      if (block === 30)
        while ((JSON.parse(readFileSync(resume, "utf8")) as { confirmed: number }).confirmed < 20)
          await new Promise(setImmediate);
      if (block === 50) abort.abort();
    };
    await assert.rejects(copy({ resume, signal: abort.signal }), { code: "INTERRUPTED" });
    sides.theirs.losePower();
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
    sides.network.target = impatient.port;
    const range = sides.client.range.bind(sides.client);
    sides.client.range = async (endpoint) => {
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
    sides.network.target = reader.port;
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
    sides.client.onBlock = (block) => {
      if (block !== 5 || second !== undefined) return;
      second = assert.rejects(copy({ size: BS }), { code: "IN_USE" });
      return second as Promise<void>;
    };
    await copy();
    await second;
  });

  it("write within the part that is served", async () => {
    const before = Buffer.from(sides.theirs.bytes);
    await copy({ ...at("part", 4096), size: 8192 });
    sides.ours.bytes.copy(before, 12 << 10, 0, 8192);
    assert.ok(sides.theirs.durable.equals(before));
  });

  it("end with the server, which waits until nothing is in flight", async () => {
    sides.client.onBlock = (block) => {
      if (block === 10) void sides.server.close().then(() => assert.equal(sides.remote.open, 0));
    };
    await assert.rejects(copy({ reconnectMs: 200 }), ({ code }: { code: string }) =>
      ["PEER_GONE", "NO_ROUTE"].includes(code),
    );
  });
});
