import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { NvmeError, P2pError } from "#lib/errors.js";
import { Session } from "#lib/session.js";
import { planOf } from "../device/machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Source, destination and card as the machine file's order gives them: see docs/machine-file.md. */
const [SOURCE, TARGET, CARD] = ["0000:03:00.0", "0000:04:00.0", "0000:05:00.0"];

/** Faults of either controller, as machine files have them. */
interface Faults {
  source?: string;
  target?: string;
}

describe("copy with devices that do wrong", () => {
  let directory: string;
  let session: Session;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-copy-trouble-"));
  });

  afterEach(() => session.close());

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  async function open({ source = "", target = "" }: Faults): Promise<void> {
    const file = join(directory, "machine.yaml");
    writeFileSync(
      file,
      `root_ports:
  - device: switch
    ports:
      - { device: nvme, faults: [${source}], namespaces: [{ size: 16m }, { size: 16m }] }
      - { device: nvme, faults: [${target}], namespaces: [{ size: 16m }, { size: 16m }] }
      - { device: card, memory: 16m }
`,
    );
    session = await Session.open({ machine: file, timeout: 0.3 });
  }

  const rest: Partial<CopyPlan> = { bs: 16 * KIB, iodepth: 8, size: 4 * MIB };

  async function failureOf(plan: CopyPlan): Promise<P2pError> {
    const error: unknown = await runCopy(session, plan).then(
      () => assert.fail("it went well"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof P2pError, String(error));
    return error;
  }

  /** The same copy, with the same devices and all of the provider: nothing was left behind. */
  async function assertUsable(plan: CopyPlan): Promise<void> {
    await prepareSource(session, plan, "pattern", 71);
    await runCopy(session, plan);
    assert.equal((await verifyDestination(session, plan, "pattern", 71)).mismatches, 0);
    if (plan.provider) assert.equal(plan.provider.pool.available, plan.provider.size);
  }

  const rungs = [
    ["it was aborted", "{ on: %, after: 50, effect: hang }"],
    ["its queue was deleted", "{ on: %, after: 50, effect: hang, abort: false }"],
    [
      "the controller was reset",
      "{ on: %, after: 50, effect: hang, abort: false }, { on: delete, effect: hang, abort: false }",
    ],
  ] as const;
  for (const [side, command, faulty, device] of [
    ["source", "Read", "read", SOURCE],
    ["target", "Write", "write", TARGET],
  ] as const)
    for (const [end, faults] of rungs)
      it(`ends a ${command} that hangs, ${end}, while others complete, and goes on`, async () => {
        await open({ [side]: faults.replace("%", faulty) });
        const provider = await session.provider(CARD);
        const plan = planOf(SOURCE, TARGET, { ...rest, path: "p2p", provider, runtime: 20 });
        const began = performance.now();
        const error = await failureOf(plan);
        assert.equal(error.code, "TIMEOUT", error.message);
        assert.equal(error.device, device);
        assert.match(
          error.message,
          new RegExp(
            `^${command} of blocks \\d+ to \\d+ of namespace 1 did not complete in 0.3 s; ${end}$`,
          ),
        );
        assert.ok(performance.now() - began < 15_000, "long before the time is over");
        await assertUsable(planOf(SOURCE, TARGET, { ...rest, path: "p2p", provider }));
      });

  it("goes on where a command was late but has completed", async () => {
    // Its Abort comes to nothing; before the queue is deleted for that it is there.
    await open({ source: "{ on: read, after: 50, delay: 500 }, { on: abort, effect: hang }" });
    const plan = planOf(SOURCE, TARGET, rest);
    const { bytes, latency } = await runCopy(session, plan);
    assert.equal(bytes, plan.size);
    assert.ok(latency.max >= 500e6);
    await assertUsable(plan);
  });

  for (const [code, fault] of [
    ["BAD_COMPLETION", "{ on: write, after: 50, effect: wrong-cid }"],
    ["BAD_COMPLETION", "{ on: write, after: 50, effect: bad-sq-head }"],
    ["CONTROLLER_FATAL", "{ on: write, after: 50, effect: fatal }"],
    ["DEVICE_GONE", "{ on: write, after: 50, effect: remove }"],
  ] as const)
    it(`ends with ${code} after ${fault}, and the source can still be read`, async () => {
      await open({ target: fault });
      const error = await failureOf(planOf(SOURCE, TARGET, { ...rest, runtime: 20 }));
      assert.equal(error.code, code, error.message);
      assert.equal(error.device, TARGET);
      await assertUsable(planOf(`${SOURCE}/1`, `${SOURCE}/2`, rest));
    });

  it("stops all jobs at the first that fails, with a status", async () => {
    await open({ target: "{ on: write, after: 300, status: [2, 0x80] }" });
    const plan = planOf(SOURCE, TARGET, { ...rest, jobs: 3, runtime: 20 });
    const began = performance.now();
    const error = await failureOf(plan);
    assert.ok(error instanceof NvmeError);
    assert.match(error.message, /^Write of blocks .* failed: Write Fault$/);
    assert.ok(performance.now() - began < 15_000);
    await assertUsable(
      plan.runtime === undefined ? plan : planOf(SOURCE, TARGET, { ...rest, jobs: 3 }),
    );
  });

  it("tells the stuck command of one job, not what its reset did to the others", async () => {
    await open({
      target:
        "{ on: write, after: 300, effect: hang, abort: false }, { on: delete, effect: hang, abort: false }",
    });
    const error = await failureOf(planOf(SOURCE, TARGET, { ...rest, jobs: 3, runtime: 20 }));
    assert.equal(error.code, "TIMEOUT", error.message);
    assert.match(error.message, /; the controller was reset$/);
    await assertUsable(planOf(SOURCE, TARGET, { ...rest, jobs: 3 }));
  });

  it("ends a Copy command that hangs likewise", async () => {
    for (const [end, faults] of rungs) {
      await open({ target: faults.replace("%", "copy") });
      const plan = planOf(`${TARGET}/1`, `${TARGET}/2`, { ...rest, path: "nvme-copy" });
      const error = await failureOf({ ...plan, runtime: 20 });
      assert.equal(error.code, "TIMEOUT", error.message);
      assert.match(error.message, /^Copy of blocks \d+ to \d+ of namespace 2 did not complete /);
      assert.ok(error.message.endsWith(end), error.message);
      await assertUsable(plan);
      await session.close();
    }
  });
});
