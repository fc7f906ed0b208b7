/** Devices and root complexes that lose data without a word: what each mode of verification says. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NativeFault } from "#lib/addon.js";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { blotDestination, prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { Session } from "#lib/session.js";
import type { Defect } from "#lib/verify/diagnosis.js";
import type { Verification } from "#lib/verify/inspect.js";
import { VERIFY_MODES, type VerifyMode } from "#lib/verify/mode.js";
import { planOf } from "../device/machine.js";

const KIB = 1024;
const BS = 16 * KIB;
const SIZE = 64 * BS;
const SEED = 0x80000001;

/** Source, destination and card below a switch, and a destination at the root. */
const [SOURCE, NEAR, CARD, FAR] = [3, 4, 5, 6].map((bus) => `0000:0${bus}:00.0`) as [
  ...[string, string],
  ...[string, string],
];

const machineFile = (forwards: string): string => `host_bridge: { forwards: ${forwards} }
root_ports:
  - device: switch
    ports: [{ device: nvme, max_transfer: 8k }, { device: nvme }, { device: card, memory: 16m }]
  - device: nvme
`;

describe("verification of copies that lose data", () => {
  const directory = mkdtempSync(join(tmpdir(), "p2pmem-verify-"));
  let session: Session;

  afterEach(() => session.close());
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  async function open(forwards = "all"): Promise<void> {
    const machine = join(directory, `${forwards}.yaml`);
    writeFileSync(machine, machineFile(forwards));
    session = await Session.open({ machine });
  }

  async function planTo(destination: string, rest: Partial<CopyPlan> = {}): Promise<CopyPlan> {
    const provider = await session.provider(CARD);
    return planOf(SOURCE, destination, { path: "p2p", provider, bs: BS, size: SIZE, ...rest });
  }

  /** Copies marked data over those of another run, with a fault meanwhile. */
  async function verified(
    mode: VerifyMode,
    plan: CopyPlan,
    device: string,
    fault: NativeFault | null,
  ): Promise<Verification> {
    const marks = mode === "memcmp" ? "pattern" : mode;
    const back = { ...plan, source: plan.destination, destination: plan.source };
    await prepareSource(session, back, marks, SEED - 1);
    await prepareSource(session, plan, marks, SEED);
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    if (fault) platform.inject(device, fault);
    const { covered } = await runCopy(session, plan);
    return verifyDestination(session, plan, mode, SEED, covered);
  }

  function assertFirst(
    { blocks, mismatches, first }: Verification,
    defect: Defect,
    words: RegExp,
  ): void {
    assert.deepEqual([blocks, mismatches], [SIZE / BS, 1]);
    assert.equal(first!.defect, defect, first!.message);
    assert.match(first!.message, words);
  }

  for (const mode of VERIFY_MODES) {
    it(`by ${mode} calls a write that was dropped ${mode === "memcmp" ? "different" : "stale"}`, async () => {
      await open();
      const plan = await planTo(NEAR);
      const dropped = await verified(mode, plan, NEAR, {
        ...{ on: "write", after: 9, effect: "drop-dma" },
      });
      if (mode === "memcmp") assertFirst(dropped, "different", /LBA \d+ .*: different: none of it/);
      else assertFirst(dropped, "stale", /data of another run \(seed 0x80000000\)/);
    });

    it(`by ${mode} calls a read that was dropped swapped: its slot held the block before`, async () => {
      await open();
      const plan = await planTo(NEAR, { iodepth: 1, bs: 8 * KIB, size: 512 * KIB });
      const dropped = await verified(mode, plan, SOURCE, {
        ...{ on: "read", after: 9, effect: "drop-dma" },
      });
      assertFirst(dropped, "swapped", /LBA 144 \(byte 73728\).* belongs at LBA 128 \(byte 65536\)/);
      assert.equal(dropped.first!.offset - (dropped.first!.offset % 512), 9 * 8 * KIB);
    });

    it(`by ${mode} calls a block swapped in part where one of its two reads was dropped`, async () => {
      await open();
      const plan = await planTo(NEAR, { iodepth: 1 });
      const dropped = await verified(mode, plan, SOURCE, {
        ...{ on: "read", after: 5, effect: "drop-dma" },
      });
      assertFirst(
        dropped,
        "swapped",
        /in the bytes 8192 to 16383 .* belongs at LBA 48 \(byte 24576\)/,
      );
    });
  }

  it("calls it ones where the root complex does not let reads of peers pass", async () => {
    await open("writes");
    const plan = await planTo(FAR);
    for (const mode of VERIFY_MODES) {
      const { mismatches, first } = await verified(mode, plan, FAR, null);
      assert.equal(mismatches, SIZE / BS);
      assert.equal(first!.defect, "ones", first!.message);
    }
  });

  it("finds nothing where nothing was lost, of blocks that go past several windows", async () => {
    await open();
    const plan = await planTo(NEAR, { bs: 96 * KIB, size: 9 * 1024 * KIB + 4 * KIB });
    for (const mode of VERIFY_MODES) {
      const { blocks, mismatches } = await verified(mode, plan, NEAR, null);
      assert.deepEqual([blocks, mismatches], [Math.ceil(plan.size! / plan.bs), 0]);
    }
  });

  it("by memcmp finds what is lost of a second copy, whose data were there, once they are blotted", async () => {
    await open();
    const plan = await planTo(NEAR);
    await verified("memcmp", plan, NEAR, null);
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    for (const isBlotted of [false, true]) {
      if (isBlotted) await blotDestination(session, plan, SEED + 1);
      platform.inject(NEAR, { on: "write", after: 9, effect: "drop-dma" });
      const { covered } = await runCopy(session, plan);
      const found = await verifyDestination(session, plan, "memcmp", SEED + 1, covered);
      if (isBlotted) assertFirst(found, "stale", /there is what was there before the run/);
      else assert.equal(found.mismatches, 0);
    }
  });

  it("does not take blocks of one mode for those of another", async () => {
    await open();
    const plan = await planTo(NEAR);
    await verified("pattern", plan, NEAR, null);
    const { mismatches } = await verifyDestination(session, plan, "crc32c", SEED);
    assert.equal(mismatches, SIZE / BS);
  });
});
