import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addon } from "#lib/addon.js";
import type { CheckedRanges } from "#lib/copy/check.js";
import { parseEndpoint } from "#lib/copy/endpoint.js";
import { proveFirstUse } from "#lib/copy/prove-first-use.js";
import type { Leg, LegProof } from "#lib/copy/prove-legs.js";
import { proveLegs, provePath } from "#lib/copy/prove.js";
import { NvmeError } from "#lib/errors.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { PAGE } from "#lib/nvme/spec.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Session } from "#lib/session.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { load, namespaceOf, pattern, planOf, store } from "../device/machine.js";
import { CARD, NVME0, NVME1 } from "../support/raw-nvme.js";
import { rawVector } from "../support/raw-vector.js";

const RANGE = 64 * 1024;
const UNMAPPED = 2 ** 37;
const NOBODY = new AbortController().signal;
const FILLINGS: [string, Uint8Array][] = [
  ["random blocks", pattern(RANGE, 51)],
  ["blocks of zeros", new Uint8Array(RANGE)],
  ["blocks of ones", new Uint8Array(RANGE).fill(0xff)],
];

type Transfer = (lba: number, blocks: number, data: DmaVector) => Promise<void>;

/** A namespace whose transfers go through `change` first. */
function meddle(
  namespace: NvmeNamespace,
  change: (name: "read" | "write" | "compare", transfer: Transfer) => Transfer,
): NvmeNamespace {
  return new Proxy(namespace, {
    get(target, key) {
      if (key === "read" || key === "write" || key === "compare")
        return change(key, target[key].bind(target));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A namespace that reaches no page of the provider for which `isCut` holds; bytes from its start. */
function cut(
  namespace: NvmeNamespace,
  provider: Provider,
  isCut: (offset: number) => boolean,
): NvmeNamespace {
  return meddle(namespace, (_name, transfer) => (lba, blocks, data) => {
    if (!data.isPeer) return transfer(lba, blocks, data);
    const start = data.addresses[0]!;
    const pieces = [];
    for (let at = 0; at < data.byteLength; at += PAGE) {
      const address = isCut(start + at - provider.iova) ? UNMAPPED + 2 * at : start + at;
      pieces.push({ address, length: Math.min(PAGE, data.byteLength - at) });
    }
    return transfer(lba, blocks, rawVector(data.client, pieces, data.mapType));
  });
}

function legOf(namespace: NvmeNamespace, rest: Partial<Leg> = {}): Leg {
  return {
    ...{ client: "destination", direction: "read", namespace, offset: 0, length: RANGE },
    ...{ scratch: null },
    ...rest,
  };
}

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
    const { legs } = await proveLegs(session, provider, [leg], RANGE, signal);
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

  it("is not deceived by a device that answers each Compare alike", async () => {
    await store(session, namespace, 0, pattern(RANGE, 53));
    const yes = meddle(namespace, (name, transfer) =>
      name === "compare" ? () => Promise.resolve() : transfer,
    );
    assert.equal((await prove(legOf(yes))).outcome, "lost");
    const no = meddle(namespace, (name, transfer) =>
      name === "compare" ? (lba, blocks) => namespace.compare(lba, blocks, elsewhere()) : transfer,
    );
    const elsewhere = (): DmaVector =>
      rawVector(namespace.controller.address, [{ address: UNMAPPED, length: RANGE }]);
    assert.equal((await prove(legOf(no))).outcome, "lost");
  });

  it("is not deceived by a device that read the memory once and never looks again", async () => {
    await store(session, namespace, 0, pattern(RANGE, 54));
    let isFresh = true;
    const stale = meddle(namespace, (name, transfer) => async (lba, blocks, data) => {
      if (name === "compare" && !isFresh) return;
      await transfer(lba, blocks, data);
      if (name === "compare") isFresh = false;
    });
    assert.equal((await prove(legOf(stale))).outcome, "lost");
  });

  it("fails where a command does, which is no silent loss", async () => {
    const status = { statusCodeType: 0, statusCode: 4, doNotRetry: true };
    for (const direction of ["write", "read"] as const) {
      const broken = meddle(namespace, (_name, transfer) => (lba, blocks, data) => {
        if (data.isPeer) throw new NvmeError("Data Transfer Error", status);
        return transfer(lba, blocks, data);
      });
      const { outcome, detail } = await prove(legOf(broken, { direction }));
      assert.deepEqual([outcome, detail], ["failed", "Data Transfer Error"]);
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
      const scratch = { namespace: media, offset: RANGE, length: RANGE, restore: true };
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
      it(`says that it did not restore it where the Write of that ${title}`, async () => {
        const stubborn = meddle(
          namespace,
          (name, transfer) => (lba, blocks, data) =>
            name === "write" && !data.isPeer ? act() : transfer(lba, blocks, data),
        );
        await assert.rejects(prove(scratchLeg(stubborn)), {
          ...{ code: "NOT_RESTORED", device: NVME1, message: /blocks 128 to 255 / },
        });
        await store(session, namespace, RANGE, old.subarray(RANGE));
      });
  });
});

describe("the first use of a path", () => {
  let session: Session;
  let provider: Provider;
  let ranges: CheckedRanges;
  let reads = 0;
  let isBroken = false;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback" });
    provider = await session.provider(CARD);
    const source = await namespaceOf(session, NVME0);
    await store(session, source, 0, pattern(RANGE, 56));
    const counted = meddle(source, (name, transfer) => (lba, blocks, data) => {
      if (name === "read" && data.isPeer) reads++;
      return transfer(lba, blocks, data);
    });
    ranges = {
      source: cut(counted, provider, () => isBroken),
      destination: await namespaceOf(session, NVME1),
      length: RANGE,
    };
    reads = 0;
    isBroken = false;
  });

  afterEach(() => session.close());

  const use = (path: "p2p" | "cpu" = "p2p"): Promise<void> =>
    proveFirstUse(session, planOf(NVME0, NVME1, { path, provider }), ranges);

  it("is proved once, also for two copies that begin at once", async () => {
    await Promise.all([use(), use()]);
    const once = reads;
    assert.ok(once > 0);
    await use();
    assert.equal(reads, once);
  });

  it("is proved again after it has failed", async () => {
    isBroken = true;
    for (const result of await Promise.allSettled([use(), use()]))
      assert.equal(
        result.status === "rejected" && (result.reason as { code?: string }).code,
        "PATH_LOSES_DATA",
      );
    const failed = reads;
    isBroken = false;
    await use();
    assert.ok(reads > failed);
  });

  it("needs nothing of the source's way to the peer where the CPU copies there", async () => {
    isBroken = true;
    await use("cpu");
    assert.equal(reads, 0);
  });
});

describe("the proof of a path across a root complex", () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-proof-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  /** One controller beside the card below a switch, one on a root port of its own. */
  function openMachine(forwards: string): Promise<Session> {
    const machine = join(directory, `${forwards}.yaml`);
    writeFileSync(
      machine,
      `host_bridge: { forwards: ${forwards} }
root_ports:
  - device: switch
    ports: [{ device: nvme }, { device: card, memory: 16m }]
  - device: nvme
`,
    );
    return Session.open({ machine });
  }

  const below = { "source write": "proved", "source read": "proved" };
  for (const [forwards, across] of [
    ["all", { "destination write": "proved", "destination read": "proved" }],
    ["writes", { "destination write": "proved", "destination read": "lost" }],
    ["none", { "destination write": "lost", "destination read": "lost" }],
  ] as const)
    for (const [title, bytes] of FILLINGS)
      it(`that forwards ${forwards} tells each leg apart, with ${title}`, async () => {
        const session = await openMachine(forwards);
        try {
          const [near, far] = session.pci.functions.filter((fn) => fn.isNvme);
          const provider = await session.provider("0000:04:00.0");
          for (const { address } of [near!, far!])
            await store(session, await namespaceOf(session, address), 0, bytes);
          const { legs, faults, verdict } = await provePath(session, {
            source: parseEndpoint(near!.address),
            destination: parseEndpoint(far!.address),
            ...{ provider, allowWrite: false },
          });
          assert.deepEqual(
            Object.fromEntries(
              legs.map(({ client, direction, outcome }) => [`${client} ${direction}`, outcome]),
            ),
            { ...below, ...across },
          );
          assert.deepEqual(faults, [], "the IOMMU has nothing against it");
          assert.equal(verdict, forwards === "all" ? "proved" : "loses data");
        } finally {
          await session.close();
        }
      });
});
