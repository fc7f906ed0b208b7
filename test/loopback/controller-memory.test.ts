/** CMBs that are not for everything, or of before NVMe 1.4, as only the loopback machine has them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseProvider } from "#lib/bench/choose.js";
import { copy } from "#lib/copy/by-name.js";
import { runCopy } from "#lib/copy/copy.js";
import { copyResult } from "#lib/copy/result.js";
import { CopySetup } from "#lib/copy/setup.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { planOf } from "../device/machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const [FIRST, SECOND] = ["0000:01:00.0", "0000:02:00.0"] as const;

describe("a controller memory buffer", () => {
  let directory: string;
  let session: Session | null = null;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-"));
  });
  after(() => rmSync(directory, { recursive: true }));
  afterEach(async () => {
    await session?.close();
    session = null;
  });

  /** Two controllers on root ports of their own, with such CMBs. */
  async function open(first: string, second = "none", size = "4m"): Promise<Session> {
    const controller = (cmb: string): string =>
      `  - device: nvme\n    namespaces: [{ size: ${size} }]\n${cmb === "none" ? "" : `    cmb: ${cmb}\n`}`;
    const file = join(directory, "machine.yaml");
    writeFileSync(file, `root_ports:\n${controller(first)}${controller(second)}`);
    return (session = await Session.open({ platform: "loopback", machine: file }));
  }

  async function assertCopies(plan: CopyPlan, seed: number) {
    await prepareSource(session!, plan, "pattern", seed);
    const result = await runCopy(session!, plan);
    assert.equal((await verifyDestination(session!, plan, "pattern", seed)).mismatches, 0);
    assert.deepEqual(session!.addressSpace.takeFaults(), []);
    return result;
  }

  describe("of before NVMe 1.4", () => {
    const LEGACY = "{ size: 1m, offset: 64k, unit: 4k, legacy: true }";

    it("is used at its bus address, and so is another one beside it", async () => {
      const { pci } = await open(LEGACY, LEGACY);
      const providers = [
        await session!.provider(`${FIRST}/cmb`),
        await session!.provider(`${SECOND}/cmb@256k+256k`),
      ];
      for (const [i, provider] of providers.entries()) {
        const { address } = pci.get(parseBdf([FIRST, SECOND][i]!)).bars[2]!;
        assert.equal(provider.iova, address + 64 * KIB + 256 * KIB * i);
        for (const [src, dst] of [
          [FIRST, SECOND],
          [SECOND, FIRST],
        ] as const) {
          const rest = { path: "p2p", provider, bs: 16 * KIB, size: MIB, iodepth: 4 } as const;
          await assertCopies(planOf(src, dst, rest), 40 + i);
        }
      }
    });

    it("holds lists only with their queue, which is said before the controller says it", async () => {
      await open(LEGACY);
      const plan = planOf(FIRST, SECOND, { bs: 64 * KIB, size: MIB });
      await assert.rejects(runCopy(session!, { ...plan, listsInCmb: true }), {
        code: "NO_ABILITY",
        message: /takes lists only of commands that lie in it, too \(CMBLOC.CDPCILS is 0\)/,
        hint: /--sq-in-cmb with --lists-in-cmb/,
      });
      const both: CopyPlan = { ...plan, descriptors: "prp", listsInCmb: true, sqInCmb: true };
      assert.deepEqual((await assertCopies(both, 44)).inCmb, ["src sq", "src lists"]);
    });

    it("is refused, with what to do, where its bus address is not to be had", async () => {
      await open(LEGACY);
      const space = session!.addressSpace;
      const mapPeer = space.mapPeer.bind(space);
      // As though the IOMMU could not map that address.
      space.mapPeer = (memory) => mapPeer(memory, 0);
      await assert.rejects(session!.provider(`${FIRST}/cmb`), {
        code: "CMB_REFUSED",
        device: FIRST,
        message: /answers at its bus address 0x[0-9a-f]+ alone \(NVMe < 1.4\)/,
        hint: /where the IOMMU can map it.*another provider/,
      });
      space.mapPeer = mapPeer;
      assert.ok(await session!.provider(`${FIRST}/cmb`), "nothing of it was left behind");
    });
  });

  describe("without the ability", () => {
    for (const bit of ["rds", "wds"])
      it(`${bit.toUpperCase()} is no place for data, whoever asks`, async () => {
        await open(`{ size: 1m, ${bit}: false }`);
        const lacks = new RegExp(`without ${bit.toUpperCase()} \\(CMBSZ\\)`);
        await assert.rejects(session!.provider(FIRST), { code: "NO_PROVIDER", hint: lacks });
        const provider = await session!.provider(`${FIRST}/cmb`);
        assert.throws(() => session!.findProvider([SECOND], 4096), {
          code: "NO_PROVIDER",
          message: lacks,
        });
        await assert.rejects(chooseProvider(session!, [parseBdf(SECOND)], 4096), {
          code: "NO_PROVIDER",
          message: lacks,
        });
        for (const via of ["p2p", "cpu"] as const)
          await assert.rejects(
            copy(session!, { src: FIRST, dst: SECOND, provider: `${FIRST}/cmb`, via, size: "64k" }),
            { code: "NO_ABILITY", device: FIRST, message: lacks },
          );
        const list = provider.allocScatterlist(4096);
        assert.throws(() => list.map(SECOND as never), {
          code: "NO_ABILITY",
        });
        // What it is for it still does.
        const plan = planOf(FIRST, SECOND, { size: MIB, bs: 64 * KIB });
        await assertCopies({ ...plan, sqInCmb: true, listsInCmb: true }, 50);
      });

    it("SQS or LISTS holds no queues, or no lists", async () => {
      await open("{ size: 1m, sqs: false, lists: false }");
      const plan = planOf(FIRST, SECOND, { size: MIB, bs: 64 * KIB });
      await assert.rejects(runCopy(session!, { ...plan, sqInCmb: true }), {
        code: "NO_ABILITY",
        message: /holds no submission queues \(CMBSZ.SQS is 0\)/,
      });
      await assert.rejects(runCopy(session!, { ...plan, listsInCmb: true }), {
        code: "NO_ABILITY",
        message: /holds no PRP lists and SGLs \(CMBSZ.LISTS is 0\)/,
      });
    });
  });

  it("with queues and lists spares the fabric their way from host memory", async () => {
    await open("16m", "16m");
    const provider = await session!.provider(`${FIRST}/cmb@8m+8m`);
    const rest = { path: "p2p", provider, bs: 64 * KIB, size: 2 * MIB, iodepth: 4 } as const;
    // An SGL of data in one piece needs no list.
    const plan = planOf(FIRST, SECOND, { ...rest, descriptors: "prp" });
    const control = async (use: Partial<CopyPlan>, seed: number) => {
      const { traffic, inCmb } = await assertCopies({ ...plan, ...use }, seed);
      assert.equal(traffic.host_memory_bytes, 0);
      return { bytes: traffic.host_control_bytes!, inCmb };
    };
    // 32 blocks, each two commands of 64 bytes and two completions of 16; 15 entries of 8 in a list.
    const none = await control({}, 60);
    assert.ok(none.bytes >= 32 * (2 * 64 + 2 * 16 + 2 * 15 * 8));
    const queues = await control({ sqInCmb: true }, 61);
    assert.deepEqual(queues.inCmb, ["src sq", "dst sq"]);
    assert.ok(none.bytes - queues.bytes >= 32 * 2 * 64);
    const all = await control({ sqInCmb: true, listsInCmb: true }, 62);
    assert.equal(all.inCmb.length, 4);
    assert.equal(all.bytes, 32 * 2 * 16, "completions alone");
  });

  it("has the lists alone that commands need, which the result says", async () => {
    await open("1m", "1m");
    const rest = { size: 256 * KIB, iodepth: 4, listsInCmb: true };
    const lists = "no lists in a CMB: none of the commands needs one";
    // A page needs no list, nor does an SGL of data in one piece.
    for (const use of [
      { bs: 4 * KIB, descriptors: "prp" },
      { bs: 64 * KIB, descriptors: "sgl" },
    ] as const) {
      const { inCmb, notes } = await assertCopies(planOf(FIRST, SECOND, { ...rest, ...use }), 90);
      assert.deepEqual([inCmb, notes], [[], [lists]]);
    }
    const prps = planOf(FIRST, SECOND, { ...rest, bs: 64 * KIB, descriptors: "prp" });
    const { inCmb, notes } = await assertCopies(prps, 91);
    assert.deepEqual([inCmb, notes], [["src lists", "dst lists"], []]);
  });

  it("is not named by a copy that does not go through it", async () => {
    await open("1m");
    const provider = await session!.provider(`${FIRST}/cmb`);
    const plan = planOf(FIRST, SECOND, { size: MIB, bs: 64 * KIB, path: "host", provider });
    assert.equal(copyResult(plan, await assertCopies(plan, 92), null).provider, null);
  });

  describe("with a queue or lists that is revoked in mid-run", () => {
    /** A copy of all of FIRST, whose CMB goes once the first bytes are there. */
    async function failureOf(use: Partial<CopyPlan>): Promise<P2pError> {
      await open("1m", "none", "128m");
      const provider = await session!.provider(`${FIRST}/cmb`);
      const closed: Promise<void>[] = [];
      const onProgress = (bytes: number): void => {
        if (bytes > 0 && closed.length === 0) closed.push(provider.close());
      };
      const plan = planOf(FIRST, SECOND, { bs: 64 * KIB, iodepth: 1, onProgress, ...use });
      const error: unknown = await runCopy(session!, plan).then(
        ({ bytes }) => assert.fail(`it went well, with ${bytes} bytes`),
        (reason: unknown) => reason,
      );
      await Promise.all(closed);
      assert.ok(error instanceof P2pError, String(error));
      return error;
    }

    for (const use of [
      { sqInCmb: true, runtime: 20 },
      { listsInCmb: true, descriptors: "prp", runtime: 20 },
      { sqInCmb: true, bs: 512 },
    ] as const)
      it(`ends the copy with what took it: ${JSON.stringify(use)}`, async () => {
        const began = performance.now();
        const { code, message } = await failureOf(use);
        assert.deepEqual([code, message], ["CLOSED", `${FIRST}/cmb: it was closed`]);
        assert.ok(performance.now() - began < 10_000);
      });

    it("and even unnoticed would not make a part pass for the whole", async () => {
      const prototype = CopySetup.prototype;
      const own = Object.getOwnPropertyDescriptor(prototype, "assertHeld")!;
      prototype.assertHeld = () => undefined;
      try {
        const { code, message } = await failureOf({ sqInCmb: true, bs: 512 });
        assert.equal(code, "INTERNAL");
        assert.match(message, /^the copy ended after \d+ of \d+ bytes$/);
      } finally {
        Object.defineProperty(prototype, "assertHeld", own);
      }
    });
  });

  it("that keeps together what belongs together gets it so", async () => {
    await open("{ size: 2m, mixed: false }", "{ size: 2m, mixed: false }");
    const provider = await session!.provider(`${FIRST}/cmb`);
    const rest = { path: "p2p", provider, bs: 64 * KIB, size: 2 * MIB, iodepth: 4 } as const;
    for (const [i, descriptors] of (["prp", "sgl"] as const).entries()) {
      const plan = planOf(FIRST, SECOND, { ...rest, descriptors, sqInCmb: true });
      await assertCopies(plan, 70 + i);
      await assertCopies({ ...plan, listsInCmb: true }, 72 + i);
    }
  });

  it("that is small has fewer blocks in flight, so that queue, lists and data have room", async () => {
    await open("256k");
    const provider = await session!.provider(`${FIRST}/cmb`);
    const data = { path: "p2p", provider, bs: 64 * KIB, size: MIB, iodepth: 32 } as const;
    const rest = { ...data, descriptors: "prp" } as const;
    const plan = planOf(FIRST, SECOND, { ...rest, sqInCmb: true, listsInCmb: true });
    const { iodepth, notes } = await assertCopies(plan, 80);
    // Of 64 pages 3 * 16 for data, and one for the queue, two for lists.
    assert.equal(iodepth, 3);
    assert.match(notes.join(), /3 blocks in flight, not 32: .*no room for more queues and lists/);
    assert.equal(provider.pool.available, provider.size);
    await assert.rejects(runCopy(session!, { ...plan, bs: 256 * KIB }), { code: "NO_ROOM" });
  });
});
