/** Reads into peer memory and writes from it: the data is right, and the traffic is that of the path. */
import assert from "node:assert/strict";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { PAGE } from "#lib/nvme/spec.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { checkPerf } from "#lib/perf/check.js";
import { runPerf } from "#lib/perf/perf.js";
import type { PerfPlan } from "#lib/perf/plan.js";
import { Random } from "#lib/perf/random.js";
import type { Session } from "#lib/session.js";
import { readPeer, writePeer } from "../support/peer-bytes.js";
import { devicesOf, load, namespaceOf, openSession, pattern, store } from "./machine.js";
import type { Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const SEED = 77;

describe("reads into peer memory, and writes from it", () => {
  let session: Session;
  let devices: Devices;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  const planOf = (targets: string[], provider: Provider, changes: Partial<PerfPlan>): PerfPlan => ({
    targets: targets.map(parseEndpoint),
    provider,
    pattern: "read",
    ioSize: 16 * KIB,
    depth: 4,
    queuePairs: 1,
    runtime: null,
    seed: SEED,
    allowWrite: true,
    ...changes,
  });

  /** Where the next so many bytes of a provider will be. */
  function nextOf({ pool }: Provider, bytes: number): number {
    const allocation = pool.alloc(bytes);
    const { offset } = allocation;
    pool.free(allocation);
    return offset;
  }

  const providers: [string, () => string][] = [
    ["a card", () => devices.card],
    ["a CMB", () => `${devices.nvmeCmb}/cmb`],
    ["a PMR", () => `${devices.nvme2}/pmr`],
  ];
  for (const registration of ["once", "each"] as const)
    for (const [what, name] of providers) {
      it(`of ${what}: what is read is there, of each of two sources, mapped ${registration}`, async () => {
        const provider = await session.provider(name());
        const sources = [devices.nvme1, what === "a PMR" ? devices.nvmeCmb : devices.nvme2];
        const ioSize = what === "a CMB" ? 4 * KIB : 16 * KIB;
        const size = 4 * ioSize;
        const contents = sources.map((_source, index) => pattern(size, 31 + index));
        for (const [index, source] of sources.entries())
          await store(session, await namespaceOf(session, source), MIB, contents[index]!);
        const at = nextOf(provider, 2 * size);
        writePeer(provider, at, new Uint8Array(2 * size).fill(0xee));
        const targets = sources.map((source) => `${source}@1m`);
        // As many slots as I/Os: each is used once, in their order.
        const measured = await runPerf(
          session,
          planOf(targets, provider, { size, ioSize, registration }),
        );
        assert.equal(measured.total.readIos, 8);
        assert.equal(measured.total.latency.count, 8);
        for (const [index, content] of contents.entries())
          assert.deepEqual(readPeer(provider, at + index * size, size), content);
        assert.equal(measured.traffic.host_memory_bytes, 0, "no payload in host memory");
      });

      it(`of ${what}: what is written is what was there, mapped ${registration}`, async () => {
        const provider = await session.provider(name());
        const namespace = await namespaceOf(session, devices.nvme1);
        const ioSize = 8 * KIB;
        const size = 4 * ioSize;
        await store(session, namespace, MIB, new Uint8Array(size).fill(0xdd));
        const { total } = await runPerf(
          session,
          planOf([`${devices.nvme1}@1m`], provider, {
            ...{ pattern: "write", size, ioSize, depth: 1, loops: 2, registration },
          }),
        );
        assert.equal(total.writeIos, 8);
        const random = new Random(SEED);
        const words = Int32Array.from({ length: ioSize / 4 }, () => random.next());
        const written = await load(session, namespace, MIB, size);
        for (let at = 0; at < size; at += ioSize)
          assert.deepEqual(written.subarray(at, at + ioSize), new Uint8Array(words.buffer));
      });
    }

  it("mixes both, random, from two threads on two queue pairs each, after a ramp", async () => {
    const provider = await session.provider(devices.card);
    const free = provider.pool.largestFree;
    const { total, threads, traffic } = await runPerf(
      session,
      planOf([`${devices.nvme1}@0+4m`, `${devices.nvme2}@0+4m`], provider, {
        ...{ pattern: "randrw", ioSize: 4096, jobs: 2, queuePairs: 2, depth: 4 },
        ...{ runtime: 0.1, rampTime: 0.05 },
      }),
    );
    assert.equal(threads.length, 2);
    assert.ok(total.readIos > 0 && total.writeIos > 0);
    assert.equal(total.latency.count, total.readIos + total.writeIos);
    assert.equal(traffic.host_memory_bytes, 0);
    assert.equal(provider.pool.largestFree, free, "all of it is free again");
  });

  it("has fewer in flight where the peer memory has no room for more, and says so", async () => {
    const provider = await session.provider(devices.card);
    const others = provider.pool.alloc(provider.pool.largestFree - 64 * KIB);
    const { depth, notes, total } = await runPerf(
      session,
      planOf([devices.nvme1, devices.nvme2], provider, {
        size: 64 * KIB,
        ioSize: 8 * KIB,
        depth: 32,
      }),
    );
    assert.equal(depth, 4);
    assert.match(notes.join(), /4 I\/Os in flight .*, not 32: .* has room for no more/);
    assert.equal(total.readIos, 16);
    await assert.rejects(
      runPerf(session, planOf([devices.nvme1], provider, { ioSize: 128 * KIB, depth: 1 })),
      { code: "NO_ROOM" },
    );
    provider.pool.free(others);
  });

  it("maps nothing for each I/O where the memory keeps its addresses, and says so", async () => {
    const provider = await session.provider(`${devices.nvmeCmb}/cmb`);
    const plan = planOf([devices.nvmeCmb, devices.nvme2], provider, {
      ...{ registration: "each", ioSize: PAGE, size: MIB },
    });
    const { notes } = await runPerf(session, { ...plan, targets: plan.targets.slice(1) });
    assert.deepEqual(notes, [], "by way of the root complex each I/O is mapped");
    const checked = await checkPerf(session, plan);
    assert.equal(checked.notes.length, 1);
    assert.match(
      checked.notes[0]!,
      new RegExp(`no IOMMU mapping .* ${devices.nvmeCmb}: .* bus address`),
    );
  });
});
