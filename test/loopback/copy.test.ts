import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bench } from "#lib/bench/bench.js";
import { copy } from "#lib/copy/by-name.js";
import { runCopy } from "#lib/copy/copy.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import type { CopyPath, CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { NvmeError, P2pError } from "#lib/errors.js";
import { Session } from "#lib/session.js";
import { load, namespaceOf, pattern, planOf, store } from "../device/machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Addresses as the machine file's order gives them: see docs/machine-file.md. */
const [SMALL, LARGE, CARD, PLAIN] = [
  "0000:03:00.0",
  "0000:04:00.0",
  "0000:05:00.0",
  "0000:06:00.0",
];

const MACHINE = `
root_ports:
  - device: switch
    ports:
      - device: nvme
        cmb: 1m
        max_transfer: 8k
        namespaces:
          - { size: 8m }
          - { size: 1m, file: small.img }
      - device: nvme
        doorbell_stride: 2
        namespaces:
          - { size: 8m, block: 4096 }
      - device: card
        memory: 1m
  - device: nvme
    driver: nvme
`;

describe("copy on a machine of its own", () => {
  let directory: string;
  let session: Session;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-copy-"));
    writeFileSync(join(directory, "machine.yaml"), MACHINE);
    session = await Session.open({ machine: join(directory, "machine.yaml") });
  });

  after(async () => {
    await session.close();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const [what, src, dst] of [
    ["512 byte blocks to 4 KiB blocks", SMALL, LARGE],
    ["4 KiB blocks to 512 byte blocks", LARGE, SMALL],
  ] as const)
    for (const path of ["p2p", "host", "cpu"] as const)
      it(`goes from ${what} with commands of different lengths, ${path}`, async () => {
        const provider = path === "host" ? null : await session.provider(CARD);
        const rest: Partial<CopyPlan> = { path, provider, bs: 60 * KIB, size: 2 * MIB + 4 * KIB };
        const plan = planOf(`${src}/1@4k`, `${dst}/1@1m`, rest);
        await prepareSource(session, plan, "pattern", 31);
        await runCopy(session, plan);
        assert.deepEqual(await verifyDestination(session, plan, "pattern", 31), {
          blocks: Math.ceil(plan.size! / plan.bs),
          mismatches: 0,
          first: null,
        });
      });

  it("copies within one namespace, from range to range", async () => {
    const provider = await session.provider(`${SMALL}/cmb`);
    const plan = planOf(`${SMALL}@0+1m`, `${SMALL}@1m`, { path: "p2p", provider });
    await prepareSource(session, plan, "pattern", 32);
    await runCopy(session, plan);
    assert.equal((await verifyDestination(session, plan, "pattern", 32)).mismatches, 0);
  });

  it("stops at a failing medium, names the blocks, and has its memory back", async () => {
    const small = await session.provider(CARD);
    const plan = planOf(`${SMALL}/2`, `${LARGE}/1`, { path: "p2p", provider: small, bs: 16 * KIB });
    truncateSync(join(directory, "small.img"), 512 * KIB);
    await assert.rejects(runCopy(session, plan), (error: unknown) => {
      assert.ok(error instanceof NvmeError);
      assert.equal(error.device, SMALL);
      assert.match(error.message, /^Read of blocks \d+ to \d+ of namespace 2 failed: /);
      const [, first] = /blocks (\d+)/.exec(error.message)!;
      assert.ok(Number(first) >= 1024, error.message);
      return true;
    });
    assert.equal(small.pool.available, small.size);
  });

  describe("refuses before it touches a device", () => {
    const cases: [string, string, Partial<CopyPlan> & { src?: string; dst?: string }][] = [
      ["UNALIGNED", "a block size that is no multiple of 512", { bs: 1000 }],
      ["UNALIGNED", "one that fits the source's blocks alone", { bs: 512 }],
      ["UNALIGNED", "an offset inside a block", { dst: `${LARGE}@512` }],
      ["UNALIGNED", "a size that ends inside a block", { size: 4608 }],
      ["BAD_RANGE", "a range past the source's end", { src: `${SMALL}@7m+2m` }],
      ["BAD_RANGE", "a range past the destination's end", { dst: `${LARGE}@8188k`, size: 8192 }],
      ["BAD_RANGE", "an offset past the end", { src: `${SMALL}@9m`, size: 4096 }],
      ["BAD_RANGE", "a size past the end of a given range", { src: `${SMALL}@0+4k`, size: 8192 }],
      ["BAD_RANGE", "size 0", { size: 0 }],
      ["BAD_SIZE", "a size below 0", { size: -4096 }],
      ["BAD_SIZE", "half a byte", { size: 4096.5 }],
      ["BAD_SIZE", "an offset below 0", { source: { ...parseEndpoint(SMALL), offset: -4096 } }],
      ["BAD_SIZE", "no offset", { destination: { ...parseEndpoint(LARGE), offset: NaN } }],
      ["BAD_SIZE", "a length below 0", { source: { ...parseEndpoint(SMALL), length: -1 } }],
      ["BAD_SIZE", "blocks of 0 bytes", { bs: 0 }],
      ["BAD_ARGUMENT", "no blocks in flight", { iodepth: 0 }],
      ["BAD_ARGUMENT", "no time", { runtime: 0 }],
      ["OVERLAP", "ranges that overlap", { src: `${SMALL}@0+2m`, dst: `${SMALL}@1m` }],
      ["OVERLAP", "a copy onto itself", { dst: SMALL }],
      ["NO_NAMESPACE", "a namespace that is not there", { dst: `${LARGE}/2` }],
      ["UNKNOWN_DEVICE", "a device that is not there", { dst: "0000:7f:00.0" }],
      ["NOT_NVME", "a device that is no NVMe controller", { src: CARD }],
      ["NOT_BOUND", "a device of another driver", { dst: PLAIN }],
      ["NO_PROVIDER", "a path through nothing", { path: "p2p" }],
      ["BAD_ARGUMENT", "a path that nobody knows", { path: "dma" as CopyPath }],
    ];
    for (const [code, what, { src = SMALL, dst = LARGE, ...rest }] of cases)
      it(`${code}: ${what}`, async () => {
        const target = await namespaceOf(session, LARGE);
        const untouched = pattern(64 * KIB, 6);
        await store(session, target, 0, untouched);
        await assert.rejects(runCopy(session, planOf(src, dst, rest)), { code });
        assert.deepEqual(await load(session, target, 0, 64 * KIB), untouched);
      });

    it("BAD_RANGE: a start past the end, before it works out how much there is from there on", async () => {
      for (const [src, dst] of [
        [`${SMALL}@9m`, LARGE],
        [SMALL, `${LARGE}@9m`],
      ] as const)
        await assert.rejects(runCopy(session, planOf(src, dst)), {
          code: "BAD_RANGE",
          message: /^offset 9437184 is past the end of .*, which has 8388608 bytes \(8 MiB\)$/,
        });
    });

    it("NO_ROOM and BAD_SIZE: blocks too large, also where a sweep begins with ones that fit", async () => {
      const provider = await session.provider(CARD);
      const source = await namespaceOf(session, SMALL);
      const target = await namespaceOf(session, LARGE);
      const untouched = pattern(64 * KIB, 7);
      for (const namespace of [source, target]) await store(session, namespace, 0, untouched);
      for (const [code, bs] of [
        ["NO_ROOM", 2 * MIB],
        // More commands of 8 KiB than a queue of 4096 entries holds.
        ["BAD_SIZE", 64 * MIB],
      ] as const)
        await assert.rejects(
          bench({
            session,
            jobs: {
              it: {
                ...{ src: SMALL, dst: LARGE, provider: provider.name, path: "p2p" },
                ...{ bs: [4096, bs], iodepth: 1, runtime: 0.01, verify: "pattern" },
              },
            },
            onProgress: () => assert.fail("a run began"),
          }),
          { code },
        );
      for (const namespace of [source, target])
        assert.deepEqual(await load(session, namespace, 0, 64 * KIB), untouched);
      assert.equal(provider.pool.available, provider.size);
    });

    it("NO_PROVIDER: memory that the device does not have, and says what it has", async () => {
      await assert.rejects(session.provider(`${LARGE}/cmb`), {
        code: "NO_PROVIDER",
        hint: /^it has no memory/,
      });
      await assert.rejects(session.provider(`${CARD}/bar0`), {
        code: "NO_PROVIDER",
        hint: /^it has bar2 for certain; .* bar0@OFFSET\+LENGTH$/,
      });
      await assert.rejects(session.provider(`${SMALL}/pmr`), {
        code: "NO_PROVIDER",
        hint: "it has cmb",
      });
    });
  });

  it("copies as a script says it", async () => {
    const result = await copy(session, {
      src: `${SMALL}/1`,
      dst: LARGE,
      provider: CARD,
      bs: "64k",
      iodepth: 4,
      size: "1m",
      verify: true,
    });
    assert.equal(result.path, "p2p");
    assert.equal(result.bytes, MIB);
    assert.deepEqual(result.verify, { blocks: 16, mismatches: 0, first: null });
    assert.equal(result.traffic.host_memory_bytes, 0);
    assert.ok(result.bw_bytes > 0 && result.lat_ns.min <= result.lat_ns.max);
  });

  it("rejects with what onProgress throws, with nothing in flight any more", async () => {
    const mishap = new Error("of the caller's");
    const onProgress = (): void => {
      throw mishap;
    };
    const plan = planOf(SMALL, LARGE, { runtime: 60, onProgress });
    await assert.rejects(runCopy(session, plan), mishap);
    await runCopy(session, planOf(SMALL, LARGE, { size: MIB }));
  });

  it("claims no counts where another run shared the machine's counters", async () => {
    const provider = await session.provider(CARD);
    const onward = planOf(`${SMALL}@0+4m`, `${LARGE}@0+4m`, { path: "p2p", provider });
    const stop = new AbortController();
    let beside: Promise<unknown> = Promise.resolve();
    await new Promise<void>((begun) => {
      const rest = { runtime: 60, signal: stop.signal, onProgress: () => begun() };
      beside = runCopy(session, planOf(`${SMALL}@4m+4m`, `${LARGE}@4m+4m`, rest));
    });
    const shared = await runCopy(session, onward);
    assert.deepEqual(shared.traffic, {
      source: "counted",
      host_memory_bytes: null,
      host_control_bytes: null,
      root_complex_bytes: null,
      links: null,
    });
    stop.abort();
    await assert.rejects(beside, { code: "INTERRUPTED" });
    const { traffic } = await runCopy(session, onward);
    assert.equal(traffic.host_memory_bytes, 0);
  });

  it("does not fall back to host memory where no provider was named", async () => {
    await assert.rejects(copy(session, { src: SMALL, dst: LARGE }), { code: "NO_PROVIDER" });
  });

  // Last, since it closes the session.
  describe("in the end", () => {
    it("that fails says why, also if it cannot clean up after itself, and tries all of that", async () => {
      const provider = await session.provider(CARD);
      const plan = planOf(`${SMALL}/2`, `${LARGE}/1`, { path: "p2p", provider, bs: 16 * KIB });
      truncateSync(join(directory, "small.img"), 512 * KIB);
      const kept: string[] = [];
      for (const address of [SMALL, LARGE]) {
        const controller = await session.controller(address);
        controller.deleteQueuePair = () => {
          kept.push(address);
          return Promise.reject(new P2pError("TIMEOUT", "it does not answer"));
        };
      }
      await assert.rejects(runCopy(session, plan), { code: "NVME_STATUS", device: SMALL });
      assert.deepEqual(kept, [SMALL, LARGE]);
      assert.ok(provider.pool.available < provider.size, "a device may still reach the memory");
      await session.close();
      assert.equal(provider.pool.available, provider.size);
    });
  });
});

describe("copy with ACS redirect on", () => {
  it("crosses the root complex with each leg, and host memory with none", async () => {
    const session = await Session.open({ machine: "acs" });
    try {
      const provider = await session.provider("0000:05:00.0");
      const size = MIB;
      const plan = planOf("0000:03:00.0", "0000:04:00.0", { path: "p2p", provider, size });
      await prepareSource(session, plan, "pattern", 33);
      const { traffic } = await runCopy(session, plan);
      assert.equal(traffic.host_memory_bytes, 0);
      assert.equal(traffic.root_complex_bytes, 2 * size);
      assert.equal((await verifyDestination(session, plan, "pattern", 33)).mismatches, 0);
    } finally {
      await session.close();
    }
  });
});
