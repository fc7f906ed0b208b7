/** What the proof of a stream's way into its destination may touch where a copy goes on in the middle. */
import assert from "node:assert/strict";
import { parseEndpoint } from "#lib/io/endpoint.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Session } from "#lib/session.js";
import { proveStaging } from "#lib/stream/first-use.js";
import { load, namespaceOf, pattern, store } from "../device/machine.js";
import { cut, meddle, RANGE } from "../support/meddle.js";
import { CARD, NVME1 } from "../support/raw-nvme.js";

const BS = 8 * 1024;
const OFFSET = 1 << 20;
const BLOCKS = RANGE / BS;
/** Blocks that are confirmed. */
const FIRST = 3;
const NOBODY = new AbortController().signal;

describe("the first use of a stream's peer memory at its destination", () => {
  let session: Session;
  let provider: Provider;
  let destination: NvmeNamespace;
  /** Bytes from the start of the range, and what was done there. */
  let done: [string, number][];
  const old = pattern(RANGE, 58);

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback" });
    provider = await session.provider(CARD);
    const plain = await namespaceOf(session, NVME1);
    // Writing is the only way to prove it then.
    plain.controller.identity.hasCompare = false;
    await store(session, plain, OFFSET, old);
    done = [];
    destination = meddle(plain, (name, transfer) => (lba, blocks, data) => {
      done.push([name, lba * plain.blockSize - OFFSET]);
      return transfer(lba, blocks, data);
    });
  });
  afterEach(async () => {
    const now = await load(session, await namespaceOf(session, NVME1), OFFSET, RANGE);
    assert.deepEqual(now, old, "all is as it was");
    await session.close();
  });

  const prove = (first: number, namespace = destination): Promise<void> =>
    proveStaging(
      session,
      {
        ...{ role: "destination", endpoint: parseEndpoint(`${NVME1}@1m`) },
        ...{ bs: BS, size: RANGE, first },
      },
      namespace,
      { provider, held: { start: 0, end: RANGE } },
      NOBODY,
    );

  it("writes to no block that is confirmed", async () => {
    await prove(FIRST);
    assert.ok(done.some(([name]) => name === "write"));
    for (const [name, at] of done) assert.ok(at >= FIRST * BS, `a ${name} at ${at}`);
  });

  it("writes to none of them where the path loses data either", async () => {
    await assert.rejects(
      prove(
        FIRST,
        cut(destination, provider, () => true),
      ),
      { code: "PATH_LOSES_DATA" },
    );
    for (const [name, at] of done) assert.ok(at >= FIRST * BS, `a ${name} at ${at}`);
  });

  it("touches nothing where no block is left", async () => {
    await prove(BLOCKS);
    assert.deepEqual(done, []);
  });
});
