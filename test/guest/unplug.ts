/**
 * NVMe controllers are pulled out of the machine, and one plugged in again, while sessions use them.
 * In a virtual server of its own (test/lab/unplug.test.ts): it takes away what other tests need.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { P2pError } from "#lib/errors.js";
import { BindPlan } from "#lib/host/bind.js";
import { Host, pciPath } from "#lib/host/host.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { planOf, withVector } from "../device/machine.js";
import { plugNvme, unplug, untilUnplugged } from "./monitor.js";

const { NVME_CMB = "", NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const MIB = 2 ** 20;
const LANES = 8;
const SEED = 77;

/** Once the kernel has let the device go, and QEMU has done away with it. */
async function untilGone(address: string, id: string): Promise<void> {
  while (existsSync(pciPath(address))) await delay(10);
  await untilUnplugged(id);
}

/** A copy that goes round and round until it is stopped, or cannot go on. */
class EndlessCopy {
  moved = 0;
  readonly #interrupt = new AbortController();
  /** What it ended with. */
  readonly ended: Promise<P2pError>;

  constructor(session: Session, plan: CopyPlan) {
    const { signal } = this.#interrupt;
    const onProgress = (moved: number): void => {
      this.moved = moved;
    };
    this.ended = runCopy(session, { ...plan, runtime: 3600, signal, onProgress }).then(
      () => assert.fail("a copy without end came to its end"),
      (error: unknown) => error as P2pError,
    );
  }

  /** Once it has moved `bytes` more. */
  async hasMoved(bytes: number): Promise<void> {
    const before = this.moved;
    const wait = async (): Promise<void> => {
      while (this.moved < before + bytes) await delay(10);
    };
    const end = this.ended.then((error) => {
      throw error;
    });
    await Promise.race([wait(), end]);
  }

  stop(): Promise<P2pError> {
    this.#interrupt.abort();
    return this.ended;
  }
}

/** Reads without end, on several lanes, each with a buffer of its own, until one fails. */
class EndlessReads {
  started = 0;
  readonly results: string[] = [];
  readonly #lanes: Promise<void>[];

  constructor(session: Session, namespace: NvmeNamespace) {
    this.#lanes = Array.from({ length: LANES }, () => this.#lane(session, namespace));
  }

  async areRunning(): Promise<void> {
    while (this.results.length < 100) await delay(1);
  }

  /** Once every lane has failed. */
  async end(): Promise<void> {
    await Promise.all(this.#lanes);
  }

  async #lane({ addressSpace }: Session, namespace: NvmeNamespace): Promise<void> {
    const buffer = addressSpace.allocate(65536);
    const list = new ScatterList(addressSpace).addHost(buffer, 0, 65536);
    await withVector(list, namespace, async (vector) => {
      for (let result = "done"; result === "done"; this.results.push(result)) {
        this.started++;
        result = await namespace.read(0, 65536 / namespace.blockSize, vector).then(
          () => "done",
          (error: unknown) => `${(error as P2pError).code} ${(error as P2pError).device}`,
        );
      }
    });
    buffer.close();
  }
}

describe("a controller that is pulled out of the machine", () => {
  let session: Session;

  beforeEach(async () => {
    session = await Session.open({ platform: "vfio" });
  });

  afterEach(() => session.close());

  it("ends what runs on it, each once, and lets others go on", async () => {
    const provider = await session.provider(CARD);
    const rest = { size: MIB, bs: 65536 };
    const through = planOf(NVME_CMB, `${NVME2}/1@64m`, { ...rest, path: "p2p", provider });
    await prepareSource(session, through, "pattern", SEED);
    const other = new EndlessCopy(session, through);
    const copy = new EndlessCopy(session, planOf(NVME1, NVME2, rest));
    const [namespace] = (await session.controller(NVME1)).namespaces;
    const reads = new EndlessReads(session, namespace!);
    await Promise.all([other.hasMoved(1), copy.hasMoved(1), reads.areRunning()]);

    await unplug("nvme1");
    await reads.end();
    const { code, device } = await copy.ended;
    assert.deepEqual([code, device], ["DEVICE_REQUESTED", NVME1]);
    assert.equal(reads.results.length, reads.started);
    const failed = reads.results.filter((result) => result !== "done");
    assert.deepEqual(failed, Array<string>(LANES).fill(`DEVICE_REQUESTED ${NVME1}`));
    await untilGone(NVME1, "nvme1");

    await other.hasMoved(2 * MIB);
    assert.equal((await other.stop()).code, "INTERRUPTED");
    assert.equal((await verifyDestination(session, through, "pattern", SEED)).mismatches, 0);
    await assert.rejects(session.controller(NVME1), { device: NVME1 });
  });

  it("may be plugged in again, for a session that is opened then", async () => {
    assert.ok(!existsSync(pciPath(NVME1)));
    await plugNvme("nvme1", "down1", 64 * MIB);
    while (!existsSync(pciPath(NVME1))) await delay(10);
    new BindPlan(new Host(), [parseBdf(NVME1)], {}).run();
    await using later = await Session.open({ platform: "vfio" });
    const plan = planOf(NVME1, NVME2, { size: MIB, bs: 65536 });
    const back = planOf(NVME2, NVME1, { size: MIB, bs: 65536 });
    await prepareSource(later, back, "pattern", SEED);
    await runCopy(later, plan);
    assert.equal((await verifyDestination(later, plan, "memcmp", 0)).mismatches, 0);
  });

  it("takes its memory with it once whoever holds some has let go", async () => {
    const provider = await session.provider(`${NVME_CMB}/cmb`);
    const allocation = provider.pool.alloc(4096);
    const revoked = new Promise<P2pError>((resolve) => {
      allocation.onRevoke(resolve);
    });
    const rest = { size: MIB, bs: 65536, path: "p2p", provider } as const;
    const copy = new EndlessCopy(session, planOf(NVME2, `${NVME2}/1@64m`, rest));
    await copy.hasMoved(1);

    await unplug("cmb");
    assert.equal((await revoked).code, "DEVICE_REQUESTED");
    assert.equal((await copy.ended).code, "REVOKED");
    assert.equal(provider.isPublished, false);
    assert.ok(existsSync(pciPath(NVME_CMB)), "the kernel waits");
    provider.pool.free(allocation);
    await untilGone(NVME_CMB, "cmb");
    await runCopy(session, planOf(NVME2, `${NVME2}/1@64m`, { size: MIB, bs: 65536 }));
  });
});
