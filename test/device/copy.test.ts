import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPath, CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { Session } from "#lib/session.js";
import {
  devicesOf,
  isLab,
  load,
  namespaceOf,
  openSession,
  pattern,
  planOf,
  store,
} from "./machine.js";
import type { Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK_SIZES = [512, 4 * KIB, 12 * KIB + 512, 128 * KIB, MIB, 4 * MIB];

/** A way from device to device. `slow`: the lab emulates the CMB by a register access for each word. */
interface Way {
  title: string;
  src: keyof Devices;
  dst: keyof Devices;
  path: CopyPath;
  provider?: [keyof Devices, string];
  slow?: boolean;
}

const WAYS: Way[] = [
  {
    title: "peer to peer through the CMB of a third device",
    src: "nvme1",
    dst: "nvme2",
    path: "p2p",
    provider: ["nvmeCmb", "cmb"],
    slow: true,
  },
  {
    title: "peer to peer through the card, below the switch",
    src: "nvmeCmb",
    dst: "nvme1",
    path: "p2p",
    provider: ["card", "bar2"],
  },
  {
    title: "peer to peer through the card, across the root complex",
    src: "nvme1",
    dst: "nvme2",
    path: "p2p",
    provider: ["card", "bar2"],
  },
  {
    title: "peer to peer into the destination's own CMB",
    src: "nvme1",
    dst: "nvmeCmb",
    path: "p2p",
    provider: ["nvmeCmb", "cmb"],
    slow: true,
  },
  {
    title: "peer to peer out of the source's own CMB",
    src: "nvmeCmb",
    dst: "nvme1",
    path: "p2p",
    provider: ["nvmeCmb", "cmb"],
    slow: true,
  },
  { title: "through host memory", src: "nvme1", dst: "nvme2", path: "host" },
  {
    title: "by the CPU into the card",
    src: "nvme1",
    dst: "nvme2",
    path: "cpu",
    provider: ["card", "bar2"],
  },
  {
    title: "by the CPU into the CMB",
    src: "nvme1",
    dst: "nvme2",
    path: "cpu",
    provider: ["nvmeCmb", "cmb"],
    slow: true,
  },
];

describe("copy", () => {
  let session: Session;
  let devices: Devices;
  let seed = 0;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });

  after(() => session.close());

  async function planFor(way: Way, rest: Partial<CopyPlan>): Promise<CopyPlan> {
    const [device, kind] = way.provider ?? [];
    return planOf(devices[way.src], devices[way.dst], {
      path: way.path,
      provider: device === undefined ? null : await session.provider(`${devices[device]}/${kind}`),
      ...rest,
    });
  }

  /** Stamps the source, leaves old stamps at the destination, copies, and looks at every block. */
  async function copyAndCheck(plan: CopyPlan): Promise<void> {
    seed += 2;
    const back = { ...plan, source: plan.destination, destination: plan.source };
    await prepareSource(session, back, "pattern", seed - 1);
    await prepareSource(session, plan, "pattern", seed);
    const run = await runCopy(session, plan);
    assert.deepEqual(run.covered, [{ start: 0, end: plan.size }]);
    assert.deepEqual(await verifyDestination(session, plan, "pattern", seed), {
      blocks: Math.ceil(plan.size! / plan.bs),
      mismatches: 0,
      first: null,
    });
    assert.equal((await verifyDestination(session, plan, "memcmp", 0)).mismatches, 0);
  }

  for (const way of WAYS)
    for (const bs of BLOCK_SIZES)
      it(`${way.title}, ${bs} bytes a block`, async () => {
        const most = isLab ? (way.slow === true ? 256 * KIB : 2 * MIB) : 32 * MIB;
        // Blocks enough to fill the slots, and a last one that is shorter.
        const size =
          Math.min(20 * bs, Math.max(bs, most)) + (bs > 512 ? bs / 2 - ((bs / 2) % 512) : 0);
        await copyAndCheck(await planFor(way, { bs, size, iodepth: 6 }));
      });

  it("moves the given range only, from offset to offset", async () => {
    const { nvme1, nvme2 } = devices;
    const target = await namespaceOf(session, nvme2);
    const guard = pattern(64 * KIB, 77);
    await store(session, target, MIB, guard);
    await store(session, target, MIB + 128 * KIB, guard);
    const plan = planOf(`${nvme1}/1@3m+64k`, `${nvme2}/1@${MIB + 64 * KIB}`, { size: 64 * KIB });
    await copyAndCheck(plan);
    assert.deepEqual(await load(session, target, MIB, 64 * KIB), guard);
    assert.deepEqual(await load(session, target, MIB + 128 * KIB, 64 * KIB), guard);
  });

  it("takes less in flight where the provider is too small, and says so", async () => {
    const { nvme1, nvme2, nvmeCmb } = devices;
    const provider = await session.provider(`${nvmeCmb}/cmb`);
    const most = provider.pool.alloc(provider.size - 64 * KIB);
    try {
      const shared = { path: "p2p", provider, bs: 16 * KIB, size: 96 * KIB } as const;
      const run = await runCopy(session, planOf(nvme1, nvme2, { ...shared, iodepth: 32 }));
      assert.equal(run.iodepth, 4);
      assert.match(run.notes.join(), /4 blocks in flight, not 32/);
      const tooLarge = planOf(nvme1, nvme2, { ...shared, bs: 128 * KIB, size: 128 * KIB });
      await assert.rejects(runCopy(session, tooLarge), { code: "NO_ROOM" });
    } finally {
      provider.pool.free(most);
    }
    assert.equal(provider.pool.available, provider.size);
  });

  it("writes to a real device only where that was allowed, to the loopback machine's freely", async () => {
    const { nvme1, nvme2 } = devices;
    const target = await namespaceOf(session, nvme2);
    const old = pattern(4 * KIB, 78);
    await store(session, target, 0, old);
    const plan = planOf(nvme1, nvme2, { size: 4 * KIB, allowWrite: false });
    if (!isLab) {
      assert.equal((await runCopy(session, plan)).bytes, 4 * KIB);
      return;
    }
    const refused = { code: "WRITE_NOT_ALLOWED", device: nvme2 };
    await assert.rejects(runCopy(session, plan), refused);
    assert.equal(
      (await verifyDestination(session, plan, "memcmp", 0)).blocks,
      1,
      "looking is allowed",
    );
    await assert.rejects(
      prepareSource(session, { ...plan, source: plan.destination }, "pattern", 1),
      refused,
    );
    assert.deepEqual(await load(session, target, 0, 4 * KIB), old);
  });

  it("runs for a time over and over through the range, with every block right in the end", async () => {
    const { nvme1, nvme2 } = devices;
    const plan = planOf(nvme1, nvme2, { bs: 8 * KIB, size: 40 * KIB + 512, iodepth: 3 });
    await prepareSource(session, plan, "pattern", 4711);
    const run = await runCopy(session, { ...plan, runtime: 0.3 });
    assert.ok(run.bytes > 2 * plan.size!, `${run.bytes} bytes`);
    assert.deepEqual(run.covered, [{ start: 0, end: plan.size }]);
    assert.equal(run.latency.count, run.blocks);
    assert.equal((await verifyDestination(session, plan, "pattern", 4711)).mismatches, 0);
  });

  it("goes round its queues many times at every depth", async () => {
    const { nvme1, nvme2 } = devices;
    for (const iodepth of [1, 2, 3, 64])
      await copyAndCheck(planOf(nvme1, nvme2, { bs: 512, size: 1500 * 512, iodepth }));
  });

  it("runs with several queue pairs on the same devices at once", async () => {
    const { nvme1, nvme2, card } = devices;
    const provider = await session.provider(card);
    await Promise.all(
      [0, 1, 2].map(async (i) => {
        const at = `/1@${i * 8}m`;
        const plan = planOf(nvme1 + at, nvme2 + at, {
          path: i === 0 ? "host" : "p2p",
          provider: i === 0 ? null : provider,
          bs: 32 * KIB,
          size: 2 * MIB,
        });
        await prepareSource(session, plan, "pattern", 900 + i);
        await runCopy(session, plan);
        assert.equal((await verifyDestination(session, plan, "pattern", 900 + i)).mismatches, 0);
      }),
    );
  });

  it("reports where the bytes went", async () => {
    const { nvmeCmb, nvme1, nvme2, card } = devices;
    const size = 2 * MIB;
    const provider = await session.provider(card);
    const traffic = async (
      src: string,
      dst: string,
      path: CopyPath,
    ): Promise<(number | null)[]> => {
      const plan = planOf(src, dst, {
        path,
        provider: path === "host" ? null : provider,
        size,
        bs: 64 * KIB,
      });
      const run = await runCopy(session, plan);
      assert.equal(run.traffic.source, isLab ? "derived" : "counted");
      assert.equal(run.traffic.host_control_bytes === null, isLab);
      assert.ok(run.traffic.links!.some(({ link }) => link === src));
      for (const { link, bytes } of run.traffic.links!)
        if (link === card) assert.equal(bytes, path === "host" ? 0 : 2 * size);
        else if (link === src || link === dst) assert.equal(bytes, size);
      return [run.traffic.host_memory_bytes, run.traffic.root_complex_bytes];
    };
    // All of these sit below a switch whose ports do not redirect, but for nvme2.
    assert.deepEqual(await traffic(nvmeCmb, nvme1, "p2p"), [0, 0]);
    assert.deepEqual(await traffic(nvme1, nvme2, "p2p"), [0, size]);
    assert.deepEqual(await traffic(nvme1, nvme2, "host"), [2 * size, 2 * size]);
    assert.deepEqual(await traffic(nvme1, nvme2, "cpu"), [2 * size, 3 * size]);
  });
});
