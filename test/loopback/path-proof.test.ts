import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { addon, type NativeDmaFault } from "#lib/addon.js";
import type { Leg, LegProof } from "#lib/proof/leg.js";
import { proveLegs, type LegsProof } from "#lib/proof/legs.js";
import { NvmeError, P2pError } from "#lib/errors.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { PAGE } from "#lib/nvme/spec.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Session } from "#lib/session.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { load, namespaceOf, pattern, store } from "../device/machine.js";
import { cut, FILLINGS, legOf, meddle, RANGE, UNMAPPED } from "../support/meddle.js";
import { readPeer, writePeer } from "../support/peer-bytes.js";
import { CARD, NVME0, NVME1 } from "../support/raw-nvme.js";
import { rawVector } from "../support/raw-vector.js";

const NOBODY = new AbortController().signal;

describe("the proof of one leg", () => {
  let session: Session;
  let provider: Provider;
  let namespace: NvmeNamespace;

  before(async () => {
    session = await Session.open({ platform: "loopback" });
    provider = await session.provider(CARD);
    namespace = await namespaceOf(session, NVME1);
  });

  after(() => session.close());

  async function prove(leg: Leg, signal = NOBODY): Promise<LegProof> {
    const request = { provider, legs: [leg], held: null, most: RANGE, signal };
    const { legs } = await proveLegs(session, request);
    assert.equal(legs.length, 1);
    return legs[0]!;
  }

  const middle = (): number => (provider.size - RANGE) / 2;
  const end = (): number => provider.size - RANGE;
  const cuts: [string, (offset: number) => boolean][] = [
    ["the last page of the provider", (at) => at === provider.size - PAGE],
    ["all but its first piece", (at) => at >= RANGE],
    ["one page in the middle", (at) => at === middle() + 5 * PAGE],
    ["every other page", (at) => at % (2 * PAGE) !== 0],
    ["the first page", (at) => at === 0],
  ];
  for (const [filling, bytes] of FILLINGS)
    for (const direction of ["write", "read"] as const)
      for (const [title, isCut] of cuts)
        it(`sees that ${title} cannot be reached to ${direction}, with ${filling}`, async () => {
          await store(session, namespace, 0, bytes);
          const leg = legOf(cut(namespace, provider, isCut), { direction });
          const { outcome, detail } = await prove(leg);
          assert.equal(outcome, "corrupted", detail);
        });

  it("places its pieces at the start, in the middle and at the end of the provider", async () => {
    const seen: [number, number][] = [];
    const watched = meddle(namespace, (_name, transfer) => (lba, blocks, data) => {
      if (data.isPeer) seen.push([data.addresses[0]! - provider.iova, data.byteLength]);
      return transfer(lba, blocks, data);
    });
    assert.equal((await prove(legOf(watched, { direction: "write" }))).outcome, "proved");
    const { blockSize } = namespace;
    assert.deepEqual(
      seen,
      [blockSize, RANGE].flatMap((size) => [0, middle(), end()].map((place) => [place, size])),
    );
  });

  it("says where the first byte is wrong", async () => {
    await store(session, namespace, 0, pattern(RANGE, 52));
    const isCut = (at: number): boolean => at === end() + 3 * PAGE;
    for (const direction of ["write", "read"] as const) {
      const leg = legOf(cut(namespace, provider, isCut), { direction });
      const { outcome, detail } = await prove(leg);
      assert.equal(outcome, "corrupted");
      const place = direction === "write" ? end() + 3 * PAGE : end();
      assert.match(detail, new RegExp(`1 of 6 parts, first at 0x${place.toString(16)} `));
    }
  });

  /** Whose Compare of what `isMeant` holds for succeeds, or fails, without a look at the data. */
  function answering(isAlike: boolean, isMeant: (data: DmaVector) => boolean): NvmeNamespace {
    const { address } = namespace.controller;
    const elsewhere = rawVector(address, [{ address: UNMAPPED, length: RANGE }]);
    return meddle(namespace, (name, transfer) => (lba, blocks, data) => {
      if (name !== "compare" || !isMeant(data)) return transfer(lba, blocks, data);
      return isAlike ? Promise.resolve() : transfer(lba, blocks, elsewhere);
    });
  }

  it("is not deceived where each Compare from the peer memory is answered alike", async () => {
    await store(session, namespace, 0, pattern(RANGE, 53));
    for (const isAlike of [true, false]) {
      const { outcome } = await prove(legOf(answering(isAlike, ({ isPeer }) => isPeer)));
      assert.equal(outcome, "lost");
    }
  });

  it("does not blame the path where each Compare is answered alike, also from host memory", async () => {
    await store(session, namespace, 0, pattern(RANGE, 53));
    for (const isAlike of [true, false]) {
      const namespaceAlike = answering(isAlike, () => true);
      const { outcome, detail } = await prove(legOf(namespaceAlike));
      assert.equal(outcome, "unproved");
      assert.match(detail, isAlike ? /succeeds whatever/ : /by way of host memory, too/);
      const scratch = { namespace: namespaceAlike, offset: RANGE, length: RANGE };
      const byScratch = await prove(legOf(namespaceAlike, { scratch }));
      assert.equal(byScratch.outcome, "proved", "a scratch range needs no Compare");
    }
  });

  it("does not blame the path for a medium that somebody writes meanwhile", async () => {
    await store(session, namespace, 0, pattern(RANGE, 57));
    let compares = 0;
    const changing = meddle(namespace, (name, transfer) => async (lba, blocks, data) => {
      if (name === "compare" && ++compares === 1)
        await store(session, namespace, 0, pattern(RANGE, 58));
      await transfer(lba, blocks, data);
    });
    const { outcome, detail } = await prove(legOf(changing));
    assert.equal(outcome, "proved", detail);
  });

  it("is not deceived by a device that read the memory once and never looks again", async () => {
    await store(session, namespace, 0, pattern(RANGE, 54));
    let isFresh = true;
    const stale = meddle(namespace, (name, transfer) => async (lba, blocks, data) => {
      if (name === "compare" && data.isPeer && !isFresh) return;
      await transfer(lba, blocks, data);
      if (name === "compare") isFresh = false;
    });
    assert.equal((await prove(legOf(stale))).outcome, "lost");
  });

  for (const [statusCode, where, expected] of [
    [4, "at the peer memory", "refused"],
    [4, "at host memory", "failed"],
    [6, "at the peer memory", "failed"],
  ] as const)
    it(`calls a leg ${expected} whose commands end with status ${statusCode} ${where}`, async () => {
      const status = { statusCodeType: 0, statusCode, doNotRetry: true };
      for (const direction of ["write", "read"] as const) {
        const broken = meddle(namespace, (_name, transfer) => (lba, blocks, data) => {
          if (data.isPeer === (where === "at the peer memory"))
            return Promise.reject(new NvmeError("it went wrong", status));
          return transfer(lba, blocks, data);
        });
        const { outcome, detail } = await prove(legOf(broken, { direction }));
        assert.equal(outcome, expected);
        assert.match(detail, /it went wrong$/);
      }
    });

  it("calls a leg refused whose commands fail where the IOMMU reports the peer memory's address", async () => {
    const status = { statusCodeType: 0, statusCode: 6, doNotRetry: true };
    const space = session.addressSpace;
    const takeFaults = space.takeFaults.bind(space);
    const device = namespace.controller.address;
    const broken = meddle(
      namespace,
      (_name, transfer) => (lba, blocks, data) =>
        data.isPeer
          ? Promise.reject(new NvmeError("Internal Error", status))
          : transfer(lba, blocks, data),
    );
    try {
      for (const [offset, expected] of [
        [PAGE, "refused"],
        [-PAGE, "failed"],
        [provider.size, "failed"],
      ] as const) {
        const iova = BigInt(provider.iova + offset);
        space.takeFaults = () => [{ device, iova, write: true, reason: "not mapped" }];
        assert.equal((await prove(legOf(broken, { direction: "write" }))).outcome, expected);
      }
    } finally {
      space.takeFaults = takeFaults;
    }
  });

  it("judges nothing where the CPU itself reads ones from the peer memory", async () => {
    await store(session, namespace, 0, new Uint8Array(RANGE).fill(0xff));
    const native = addon();
    const read32 = native.read32.bind(native);
    native.read32 = () => 0xffffffff;
    try {
      for (const direction of ["write", "read"] as const)
        await assert.rejects(prove(legOf(namespace, { direction })), {
          ...{ code: "BAD_PEER_MEMORY", device: CARD },
        });
    } finally {
      native.read32 = read32;
    }
    assert.equal(provider.pool.available, provider.pool.size);
  });

  describe("through a PMR", () => {
    const contents = pattern(RANGE, 63);
    const places = (): number[] => [0, middle(), end()];
    let kind: string;

    before(() => {
      kind = provider.range.kind;
      (provider.range as { kind: string }).kind = "pmr";
    });

    after(() => {
      (provider.range as { kind: string }).kind = kind;
    });

    beforeEach(() => {
      for (const place of places()) writePeer(provider, place, contents);
    });

    function assertAsBefore(): void {
      for (const place of places()) assert.deepEqual(readPeer(provider, place, RANGE), contents);
      assert.equal(provider.pool.available, provider.pool.size);
    }

    it("leaves what that holds, proved or lost, either way", async () => {
      for (const direction of ["write", "read"] as const) {
        assert.equal((await prove(legOf(namespace, { direction }))).outcome, "proved");
        assertAsBefore();
        const nowhere = cut(namespace, provider, () => true);
        assert.equal((await prove(legOf(nowhere, { direction }))).outcome, "lost");
        assertAsBefore();
      }
    });

    it("leaves what that holds where the proof breaks off", async () => {
      const interrupt = new AbortController();
      const slow = meddle(namespace, (_name, transfer) => async (lba, blocks, data) => {
        await transfer(lba, blocks, data);
        if (data.isPeer) interrupt.abort();
      });
      const leg = legOf(slow, { direction: "write" });
      await assert.rejects(prove(leg, interrupt.signal), { name: "AbortError" });
      assertAsBefore();
    });

    it("says where it does not hold what it held", async () => {
      const native = addon();
      const copy = native.copy.bind(native);
      const leg = legOf(namespace, { direction: "write" });
      const saved = new Set<unknown>();
      native.copy = (to, toOffset, from, fromOffset, length) => {
        // Its contents are the first that is read into host memory, and are not written back.
        if (from === provider.memory && saved.size < 3) saved.add(to);
        if (!saved.has(from)) copy(to, toOffset, from, fromOffset, length);
      };
      try {
        const names = places().map((place) => `0x${place.toString(16)}`);
        const message = new RegExp(`does not hold .* at some of ${names.join(", ")}$`);
        await assert.rejects(prove(leg), { code: "NOT_RESTORED", device: CARD, message });
      } finally {
        native.copy = copy;
      }
      assert.equal(provider.pool.available, provider.pool.size);
    });
  });

  describe("where a device fails", () => {
    const FAULT = { iova: 0n, write: true, reason: "not mapped" };
    let takeFaults: () => NativeDmaFault[] | null;
    let near: NvmeNamespace;

    before(async () => {
      takeFaults = session.addressSpace.takeFaults.bind(session.addressSpace);
      near = await namespaceOf(session, NVME0);
    });

    afterEach(() => {
      session.addressSpace.takeFaults = takeFaults;
    });

    function broken(code: string): NvmeNamespace {
      return meddle(near, (_name, transfer) => (lba, blocks, data) => {
        if (!data.isPeer) return transfer(lba, blocks, data);
        return Promise.reject(new P2pError(code, `it is broken: ${code}`, { device: NVME0 }));
      });
    }

    async function outcomesOf(through: Provider, failing: NvmeNamespace): Promise<LegsProof> {
      session.addressSpace.takeFaults = () => [{ ...FAULT, device: near.controller.address }];
      const legs = [
        legOf(failing, { client: "source", direction: "write" }),
        legOf(namespace),
        legOf(failing, { client: "source" }),
      ];
      const shared = { held: null, most: RANGE, signal: NOBODY };
      return proveLegs(session, { provider: through, legs, ...shared });
    }

    for (const code of ["TIMEOUT", "CONTROLLER_FATAL", "CONTROLLER_RESET", "DEVICE_GONE"])
      it(`by ${code}, goes on with the others, and keeps the faults`, async () => {
        const { legs, faults } = await outcomesOf(provider, broken(code));
        assert.deepEqual(
          legs.map(({ outcome, detail }) => [outcome, /it is broken/.test(detail)]),
          [
            ["failed", true],
            ["proved", false],
            ["unproved", true],
          ],
        );
        assert.equal(faults?.length, 3);
      });

    it("whose memory the path goes through, tries no other leg", async () => {
      const own = await session.provider(`${NVME0}/cmb`);
      const { legs } = await outcomesOf(own, broken("TIMEOUT"));
      const outcomes = legs.map(({ outcome }) => outcome);
      assert.deepEqual(outcomes, ["failed", "unproved", "unproved"]);
    });

    it("judges nothing by an error that is no device's", async () => {
      await assert.rejects(outcomesOf(provider, broken("CLOSED")), { code: "CLOSED" });
      assert.equal(provider.pool.available, provider.pool.size);
    });
  });

  describe("by a scratch range", () => {
    const old = pattern(2 * RANGE, 55);

    before(async () => {
      namespace.controller.identity.hasCompare = false;
      await store(session, namespace, 0, old);
    });

    after(() => {
      namespace.controller.identity.hasCompare = true;
    });

    afterEach(async () => {
      assert.deepEqual(await load(session, namespace, 0, 2 * RANGE), old, "all is as it was");
      assert.equal(provider.pool.available, provider.pool.size);
    });

    /** `media`: what restores the range, if that is not the namespace itself. */
    function scratchLeg(media: NvmeNamespace): Leg {
      const scratch = { namespace: media, offset: RANGE, length: RANGE };
      return legOf(media, { scratch });
    }

    for (const [title, isCut] of cuts)
      it(`sees that ${title} cannot be reached, and restores it`, async () => {
        const { outcome } = await prove(scratchLeg(cut(namespace, provider, isCut)));
        assert.equal(outcome, "corrupted");
      });

    it("restores it where a Write changes nothing and succeeds", async () => {
      const idle = meddle(
        namespace,
        (name, transfer) => (lba, blocks, data) =>
          name === "write" && data.isPeer ? Promise.resolve() : transfer(lba, blocks, data),
      );
      assert.equal((await prove(scratchLeg(idle))).outcome, "lost");
    });

    it("restores it where it is interrupted after a write", async () => {
      const interrupt = new AbortController();
      let writes = 0;
      const slow = meddle(namespace, (name, transfer) => async (lba, blocks, data) => {
        await transfer(lba, blocks, data);
        if (name === "write" && data.isPeer && ++writes === 5) interrupt.abort();
      });
      await assert.rejects(prove(scratchLeg(slow), interrupt.signal), { name: "AbortError" });
      assert.equal(writes, 5);
    });

    it("restores it where a command fails after a write", async () => {
      const status = { statusCodeType: 2, statusCode: 0x80, doNotRetry: true };
      let writes = 0;
      const broken = meddle(namespace, (name, transfer) => (lba, blocks, data) => {
        if (name === "write" && data.isPeer && ++writes === 5)
          throw new NvmeError("Write Fault", status);
        return transfer(lba, blocks, data);
      });
      assert.equal((await prove(scratchLeg(broken))).outcome, "failed");
    });

    for (const [title, act] of [
      ["fails", () => Promise.reject(new Error("broken"))],
      ["does nothing", () => Promise.resolve()],
    ] as [string, () => Promise<void>][])
      it(`names a file with what was there where the Write that restores ${title}`, async () => {
        const stubborn = meddle(
          namespace,
          (name, transfer) => (lba, blocks, data) =>
            name === "write" && !data.isPeer ? act() : transfer(lba, blocks, data),
        );
        const error = await prove(scratchLeg(stubborn)).then(
          () => assert.fail("it was restored"),
          (error: unknown) => error as P2pError,
        );
        assert.equal(error.code, "NOT_RESTORED");
        assert.equal(error.device, NVME1);
        assert.match(error.message, /blocks 128 to 255 /);
        const [, file] = /from (\S+), at byte 65536 /.exec(error.hint!)!;
        const saved = readFileSync(file!);
        rmSync(file!);
        assert.deepEqual(new Uint8Array(saved), old.slice(RANGE));
        await store(session, namespace, RANGE, saved);
      });

    it("keeps what was there in a file for as long as it is not there", async () => {
      let during: string[] = [];
      const before = savedFiles();
      const watched = meddle(namespace, (name, transfer) => (lba, blocks, data) => {
        if (name === "write" && data.isPeer) during = savedFiles();
        return transfer(lba, blocks, data);
      });
      assert.equal((await prove(scratchLeg(watched))).outcome, "proved");
      assert.equal(during.length, before.length + 1);
      assert.deepEqual(savedFiles(), before);
    });

    it("writes nothing where it cannot keep what is there", async () => {
      const { TMPDIR } = process.env;
      process.env.TMPDIR = "/nowhere";
      try {
        await assert.rejects(prove(scratchLeg(unwritten())), { code: "NOT_SAVED", device: NVME1 });
      } finally {
        if (TMPDIR === undefined) delete process.env.TMPDIR;
        else process.env.TMPDIR = TMPDIR;
      }
    });

    it("writes nothing where a Read into host memory succeeds and brings nothing", async () => {
      const idle = meddle(unwritten(), (name, transfer) =>
        name === "read" ? () => Promise.resolve() : transfer,
      );
      const { outcome, detail } = await prove(scratchLeg(idle));
      assert.equal(outcome, "failed");
      assert.match(detail, /two Reads/);
    });

    function unwritten(): NvmeNamespace {
      return meddle(namespace, (name, transfer) =>
        name === "write" ? () => Promise.reject(new Error("written")) : transfer,
      );
    }

    function savedFiles(): string[] {
      const prefix = `p2pmem-${NVME1.replaceAll(":", "-")}-1-`;
      return readdirSync(tmpdir()).filter((name) => name.startsWith(prefix));
    }
  });
});
