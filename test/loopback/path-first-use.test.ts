import assert from "node:assert/strict";
import type { CheckedRanges } from "#lib/copy/check.js";
import { proveFirstUse } from "#lib/copy/first-use.js";
import { NvmeError } from "#lib/errors.js";
import type { Range } from "#lib/extents/ranges.js";
import { PAGE } from "#lib/nvme/spec.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Session } from "#lib/session.js";
import { load, namespaceOf, pattern, planOf, store } from "../device/machine.js";
import { cut, meddle, RANGE } from "../support/meddle.js";
import { readPeer, writePeer } from "../support/peer-bytes.js";
import { CARD, NVME0, NVME1 } from "../support/raw-nvme.js";

const HELD: Range = { start: 0, end: RANGE };
const NOBODY = new AbortController().signal;

describe("the first use of a path", () => {
  let session: Session;
  let provider: Provider;
  let ranges: CheckedRanges;
  /** Where the source has put its canaries, bytes from the start of the provider. */
  let places: number[] = [];
  let isCut: (offset: number) => boolean;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback" });
    provider = await session.provider(CARD);
    const source = await namespaceOf(session, NVME0);
    await store(session, source, 0, pattern(RANGE, 56));
    places = [];
    isCut = () => false;
    const watched = meddle(source, (name, transfer) => (lba, blocks, data) => {
      if (name === "read" && data.isPeer) places.push(data.addresses[0]! - provider.iova);
      return transfer(lba, blocks, data);
    });
    ranges = {
      source: cut(watched, provider, (offset) => isCut(offset)),
      destination: await namespaceOf(session, NVME1),
      length: RANGE,
    };
  });

  afterEach(() => session.close());

  const use = (held = HELD, path: "p2p" | "cpu" = "p2p", signal = NOBODY): Promise<void> =>
    proveFirstUse(session, planOf(NVME0, NVME1, { path, provider }), ranges, held, signal);

  it("is proved at the first, the middle and the last of the memory that the copy has", async () => {
    await use({ start: 3 * PAGE, end: 3 * PAGE + RANGE });
    const size = 4 * PAGE;
    const expected = [3 * PAGE, 9 * PAGE, 3 * PAGE + RANGE - size];
    assert.deepEqual([...new Set(places)], expected);
  });

  it("is proved once for the same memory, and again for memory beyond", async () => {
    await use();
    const once = places.length;
    assert.ok(once > 0);
    await use();
    await use({ start: PAGE, end: 2 * PAGE });
    assert.equal(places.length, once);
    await use({ start: RANGE, end: 2 * RANGE });
    assert.ok(places.length > once);
    const twice = places.length;
    await use({ start: 0, end: 2 * RANGE });
    assert.equal(places.length, twice, "two parts that were proved are proved together");
  });

  it("is refused where only the copy's own part of the provider cannot be reached", async () => {
    isCut = (offset) => offset >= 2 * RANGE && offset < 3 * RANGE;
    await use();
    await assert.rejects(use({ start: 2 * RANGE, end: 3 * RANGE }), { code: "PATH_LOSES_DATA" });
  });

  it("is proved again after it has failed", async () => {
    isCut = () => true;
    for (let i = 0; i < 2; i++) await assert.rejects(use(), { code: "PATH_LOSES_DATA" });
    isCut = () => false;
    await use();
  });

  it("is refused by another code where the device says that it does not reach the memory", async () => {
    const status = { statusCodeType: 0, statusCode: 4, doNotRetry: true };
    ranges.source = meddle(
      ranges.source,
      (_name, transfer) => (lba, blocks, data) =>
        data.isPeer
          ? Promise.reject(new NvmeError("Data Transfer Error", status))
          : transfer(lba, blocks, data),
    );
    await assert.rejects(use(), { code: "PATH_REFUSED", device: NVME0, message: /: refused, / });
  });

  it("needs nothing of the source's way to the peer where the CPU copies there", async () => {
    isCut = () => true;
    await use(HELD, "cpu");
    assert.deepEqual(places, []);
  });

  it("needs nothing at all by way of host memory", async () => {
    isCut = () => true;
    const plan = planOf(NVME0, NVME1, { path: "host", provider });
    await proveFirstUse(session, plan, ranges, null, NOBODY);
  });

  describe("by a destination without Compare", () => {
    const old = pattern(2 * RANGE, 59);

    beforeEach(async () => {
      ranges.destination.controller.identity.hasCompare = false;
      await store(session, ranges.destination, 0, old);
    });

    afterEach(async () => {
      const now = await load(session, await namespaceOf(session, NVME1), 0, old.length);
      assert.deepEqual(now, old, "the copy has not begun, and all is as it was");
    });

    it("leaves what is there where it succeeds", () => use());

    it("leaves what is there where the path loses data", async () => {
      ranges.destination = cut(ranges.destination, provider, (offset) => offset !== 0);
      await assert.rejects(use(), { code: "PATH_LOSES_DATA", device: NVME1 });
    });

    it("leaves what is there where it is interrupted after a write", async () => {
      const interrupt = new AbortController();
      let writes = 0;
      ranges.destination = meddle(
        ranges.destination,
        (name, transfer) => async (lba, blocks, data) => {
          await transfer(lba, blocks, data);
          if (name === "write" && data.isPeer && ++writes === 2) interrupt.abort();
        },
      );
      await assert.rejects(use(HELD, "p2p", interrupt.signal), { name: "AbortError" });
      assert.equal(writes, 2);
    });
  });

  it("leaves what a PMR holds where it fails", async () => {
    (provider.range as { kind: string }).kind = "pmr";
    const contents = pattern(RANGE, 60);
    writePeer(provider, 0, contents);
    isCut = (offset) => offset !== 0;
    await assert.rejects(use(), { code: "PATH_LOSES_DATA" });
    assert.ok(places.length > 0);
    assert.deepEqual(readPeer(provider, 0, RANGE), contents);
  });
});
