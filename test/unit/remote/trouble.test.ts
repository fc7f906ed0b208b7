/** Copies between machines whose other side, or whose place there, is not what it was. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { P2pError } from "#lib/errors.js";
import { Connection } from "#lib/exchange/connection.js";
import type { RemoteCopyPlan } from "#lib/remote/copy.js";
import { parseExport } from "#lib/remote/exports.js";
import type { OpenRange } from "#lib/remote/machine.js";
import * as protocol from "#lib/remote/protocol.js";
import type { ServerOptions } from "#lib/remote/server.js";
import { HOST, PATIENT } from "../../support/exchange.js";
import { BS, Sides } from "./sides.js";

const SIZE = 64 * BS;

describe("A copy between machines that finds its other side changed", () => {
  let sides: Sides;
  let resume: string;

  const serve = async (rest: Partial<ServerOptions>): Promise<void> => {
    sides.server = await sides.serve(rest);
    sides.network.target = sides.server.port;
  };
  const copy = (rest: Partial<RemoteCopyPlan> = {}) => sides.copy({ size: SIZE, ...rest });

  beforeEach(async () => {
    sides = await Sides.open({ ours: 2 * SIZE, theirs: 2 * SIZE });
    resume = path.join(sides.directory, "journal");
  });
  afterEach(() => sides.close());

  /** Once, in the middle of a copy. */
  function atBlock40(run: () => void | Promise<void>): void {
    sides.client.onBlock = async (block) => {
      if (block !== 40) return;
      sides.client.onBlock = undefined;
      await run();
      sides.network.cut();
    };
  }

  const CHANGES: [string, RegExp, (range: OpenRange) => OpenRange][] = [
    [
      "another namespace",
      /the namespace was S1, namespace 1, and is S2/,
      (range) => ({ ...range, identity: "S2" }),
    ],
    [
      "another offset",
      /the offset was 0, and is 512/,
      (range) => ({ ...range, place: { ...range.place, offset: 512 } }),
    ],
    [
      "other logical blocks",
      /the size of a logical block was 512, and is 4096/,
      (range) => ({ ...range, place: { ...range.place, blockSize: 4096 } }),
    ],
    ["another length", /the length was/, (range) => ({ ...range, bytes: range.bytes - 512 })],
  ];

  for (const [what, message, alter] of CHANGES)
    it(`ends where it finds ${what}, here or there, and writes nothing there`, async () => {
      for (const [machine, code] of [
        [sides.remote, "PEER_CHANGED"],
        [sides.client, "DEVICE_CHANGED"],
      ] as const) {
        let written = Buffer.alloc(0);
        atBlock40(() => {
          machine.alter = alter;
          written = Buffer.from(sides.theirs.bytes);
        });
        await assert.rejects(copy({ resume }), { code, message });
        assert.ok(sides.theirs.bytes.subarray(48 * BS).equals(written.subarray(48 * BS)));
        // Nor does another process go on.
        const before = Buffer.from(sides.theirs.bytes);
        await assert.rejects(copy({ resume }), { code: "BAD_JOURNAL", message });
        assert.ok(sides.theirs.bytes.equals(before));
        machine.alter = (range) => range;
        await copy({ resume });
        assert.ok(
          sides.theirs.durable.subarray(0, SIZE).equals(sides.ours.bytes.subarray(0, SIZE)),
        );
        sides.theirs.bytes.fill(0);
      }
    });

  it("does not write to what a server, started anew, serves by the same name elsewhere", async () => {
    const before = Buffer.from(sides.theirs.bytes);
    atBlock40(async () => {
      sides.network.target = null;
      void sides.server.close();
      await serve({ exports: [parseExport(`scratch=02:00.0@${SIZE}`)] });
    });
    await assert.rejects(copy(), { code: "PEER_CHANGED", message: /the offset was 0, and is/ });
    assert.ok(sides.theirs.bytes.subarray(SIZE).equals(before.subarray(SIZE)));
  });

  it("ends at once where a link is down from the start, and after a while where it stays so", async () => {
    const tries: number[] = [];
    const fail = (): void => {
      tries.push(performance.now());
      throw new P2pError("PORT_DOWN", "port 1 of rnic0 has no link");
    };
    sides.client.onOpen = fail;
    await assert.rejects(copy(), { code: "PORT_DOWN" });
    assert.equal(tries.splice(0).length, 1);
    sides.client.onOpen = undefined;
    atBlock40(() => {
      sides.client.onOpen = fail;
    });
    await assert.rejects(copy({ reconnectMs: 800 }), { code: "PORT_DOWN", message: /has no link/ });
    assert.ok(tries.length > 2, `${tries.length} tries`);
  });

  it("waits after a break for the NIC that was named, and not for an NVMe device", async () => {
    for (const [device, reconnects] of [
      ["rnic0", 2],
      ["0000:01:00.0", null],
    ] as const) {
      atBlock40(() => {
        sides.client.onOpen = () => {
          sides.client.onOpen = undefined;
          throw new P2pError("DEVICE_GONE", "it is missing", { device });
        };
      });
      if (reconnects === null) await assert.rejects(copy(), { code: "DEVICE_GONE" });
      else assert.equal((await copy()).reconnects, reconnects);
    }
  });

  it("takes its own place at a server that has no other one left", async () => {
    const stop = new AbortController();
    atBlock40(() => {
      stop.abort();
    });
    await assert.rejects(copy({ resume, signal: stop.signal }), { code: "INTERRUPTED" });
    await sides.server.close();
    await serve({ maxConnections: 1 });
    // As the killed one's connection that nobody has missed yet.
    const { copy: name } = JSON.parse(readFileSync(resume, "utf8")) as { copy: string };
    const old = await Connection.connect(HOST, sides.server.port, PATIENT);
    old.send({
      ...{ type: "open", copy: name, namespace: "scratch", offset: 0 },
      ...{ length: null, access: "write" },
    });
    await old.receive(protocol.opened);
    await assert.rejects(copy({ reconnectMs: 0 }), {
      code: "TOO_MANY_CLIENTS",
      hint: /--max-connections/,
    });
    await copy({ resume, reconnectMs: 0 });
    await assert.rejects(old.receive(protocol.opened), { message: /has connected again/ });
    assert.ok(sides.theirs.durable.subarray(0, SIZE).equals(sides.ours.bytes.subarray(0, SIZE)));
  });

  it("gets no range of which a copy may still be in flight", async () => {
    sides.remote.onClose = () => {
      throw new P2pError("TIMEOUT", "the queue could not be deleted");
    };
    await copy();
    await assert.rejects(copy({ reconnectMs: 0 }), {
      code: "IN_USE",
      message: /may still write/,
      hint: /serve anew/,
    });
    const beside = { host: HOST, port: sides.network.port, namespace: "scratch", offset: SIZE };
    await copy({ remote: beside });
  });

  it("prints nothing that the other side chose to do more than be read, and cuts it", async () => {
    const hostile = "\u001b[2J\u202e\u0007\n";
    sides.remote.reason = hostile + "x".repeat(5000);
    sides.remote.alter = (range) => ({
      ...range,
      place: { ...range.place, name: hostile + "y".repeat(500) },
      identity: hostile + "z".repeat(500),
    });
    const isSafe = (text: string): void => assert.doesNotMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u);
    const { remote: staging } = await copy({ from: "remote" });
    isSafe(staging.reason);
    assert.ok(staging.reason.length < 1010);
    sides.client.spoil = (_block, bytes) => bytes.fill(1);
    await assert.rejects(copy({ from: "remote", resume }), (error: P2pError) => {
      assert.equal(error.code, "DATA_MISMATCH");
      isSafe(error.message);
      return true;
    });
    isSafe((JSON.parse(readFileSync(resume, "utf8")) as protocol.Opened & Ends).ends.src.identity);
  });
});

interface Ends {
  ends: { src: { identity: string } };
}
