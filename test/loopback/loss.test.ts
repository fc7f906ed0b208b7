/** Controllers that are lost, come back, or cannot be trusted: what becomes of what was in flight. */
import assert from "node:assert/strict";
import { CONFIG_REGION, type NativeFault } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import type { DmaBuffer } from "#lib/dma/dma-buffer.js";
import type { P2pError } from "#lib/errors.js";
import { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair } from "#lib/nvme/queues/queue-pair.js";
import { CC, IoOpcode } from "#lib/nvme/spec.js";
import { PCI_COMMAND } from "#lib/pci/spec.js";
import { PciTree } from "#lib/pci/tree.js";
import type { MachineConfiguration } from "#lib/platform/machine-schema.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { FaultyMachine } from "../support/faulty-machine.js";
import { machineWith, NVME0, NVME2, waitFor } from "../support/raw-nvme.js";

const BLOCK = 512;
const BYTES = 4096;
const BLOCKS = BYTES / BLOCK;
/** PCI 3.0 §6.2.2, of the command register. */
const BUS_MASTER = 1 << 2;
const LATE: NativeFault = { on: "read", count: 1000, delay: 60_000 };

let machine: FaultyMachine;
let space: AddressSpace;
let tree: PciTree;
let controller: NvmeController;
let interruptions: string[];
const vectors: DmaVector[] = [];
const opened: NvmeController[] = [];

async function start(configuration?: MachineConfiguration): Promise<void> {
  machine = new FaultyMachine(configuration);
  tree = new PciTree(machine.topology());
  space = new AddressSpace(machine, tree);
  interruptions = [];
  controller = await open(NVME0);
}

async function stop(): Promise<void> {
  for (const vector of vectors.splice(0)) vector.unmap();
  for (const each of opened.splice(0)) await each.close();
  space.close();
  machine.close();
}

async function open(address: string): Promise<NvmeController> {
  const fn = tree.functions.find((fn) => fn.address === address)!;
  const onInterrupted = ({ code }: P2pError): void => {
    interruptions.push(code);
  };
  opened.push(await NvmeController.open(space, fn, { allowWrite: true, onInterrupted }));
  return opened.at(-1)!;
}

function buffer(client = controller): { memory: DmaBuffer; data: DmaVector } {
  const memory = space.allocate(BYTES);
  const data = new ScatterList(space).addHost(memory, 0, BYTES).map(client);
  vectors.push(data);
  return { memory, data };
}

async function transfer(kind: "read" | "write", byte: number, client = controller): Promise<void> {
  const { memory, data } = buffer(client);
  const bytes = new Uint8Array(memory.buffer);
  if (kind === "write") bytes.fill(byte);
  await client.namespaces[0]![kind](8, BLOCKS, data);
  assert.ok(bytes.every((each) => each === byte));
}

function codes(reads: Promise<unknown>[]): Promise<string[]> {
  return Promise.all(
    reads.map((read) =>
      read.then(
        () => "done",
        (error: unknown) => (error as P2pError).code,
      ),
    ),
  );
}

/** Reads that the controller has and will not complete soon, and more that wait; what they end with. */
async function inFlight(count: number): Promise<{ ended: Promise<string[]> }> {
  machine.inject(NVME0, LATE);
  const { data } = buffer();
  const reads = Array.from({ length: count }, (_, n) => controller.namespaces[0]!.read(n, 1, data));
  const ended = codes(reads);
  const { queue, close } = await polled();
  queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, 1);
  queue.ring();
  waitFor("a flush, which is fetched after the reads", () => queue.next() === 1);
  queue.acknowledge();
  await close();
  return { ended };
}

async function polled() {
  const handle = await controller.createQueuePair({ depth: 4 });
  const { qid } = handle;
  const queue = openQueuePair(handle);
  const close = async (): Promise<void> => {
    queue.close();
    await controller.deleteQueuePair(qid);
  };
  return { qid, queue, close };
}

const isMaster = (): boolean =>
  (controller.device.region(CONFIG_REGION).read16(PCI_COMMAND) & BUS_MASTER) !== 0;

describe("a controller that is lost", () => {
  beforeEach(() => start());
  afterEach(stop);

  const losses: [string, string, () => void][] = [
    ["fails", "CONTROLLER_FATAL", () => machine.inject(NVME0, { on: "now", effect: "fatal" })],
    ["vanishes", "DEVICE_GONE", () => machine.inject(NVME0, { on: "now", effect: "vanish" })],
    ["was reset by somebody", "CONTROLLER_RESET", () => controller.device.reset()],
    ["has an error", "DEVICE_ERROR", () => machine.err(NVME0)],
  ];
  for (const [how, code, lose] of losses)
    it(`since it ${how} ends all with ${code} once, and a reset brings it back`, async () => {
      const other = await open(NVME2);
      await transfer("write", 0x5a);
      const { qid } = await polled();
      const { ended } = await inFlight(100);
      lose();
      assert.deepEqual(await ended, new Array(100).fill(code));
      assert.equal(isMaster(), false, "it was cut off before");
      for (const id of [undefined, qid])
        assert.throws(
          () => {
            controller.assertAlive(id);
          },
          { code },
        );
      await assert.rejects(transfer("read", 0x5a), { code });
      await assert.rejects(controller.createQueuePair({ depth: 2 }), { code });
      assert.deepEqual(interruptions, [code]);
      await transfer("write", 0x11, other);

      machine.clearFaults(NVME0);
      await controller.reset();
      controller.assertAlive();
      await transfer("read", 0x5a);
      await transfer("write", 0x33);
      await controller.deleteQueuePair(qid);
      const again = await polled();
      assert.equal(again.qid, qid);
      await again.close();
    });

  it("since it was pulled out stays so, and lets go at once", async () => {
    const { qid, queue } = await polled();
    const { ended } = await inFlight(3);
    machine.inject(NVME0, { on: "now", effect: "remove" });
    assert.deepEqual(await ended, ["DEVICE_GONE", "DEVICE_GONE", "DEVICE_GONE"]);
    await assert.rejects(controller.reset(), { code: "DEVICE_GONE" });
    assert.throws(
      () => {
        controller.assertAlive();
      },
      { code: "DEVICE_GONE" },
    );
    queue.close();
    await controller.deleteQueuePair(qid);
    const began = performance.now();
    await controller.close();
    assert.ok(performance.now() - began < 4000, "nothing was waited for");
  });

  it("fails its open() if it is in fatal status for good, and opens if a reset of it helps", async () => {
    await controller.close();
    machine.inject(NVME0, { on: "identify", effect: "fatal" });
    controller = await open(NVME0);
    assert.equal(machine.resets.get(NVME0), 1);
    await controller.close();
    machine.inject(NVME0, { on: "identify", count: 2, effect: "fatal" });
    await assert.rejects(open(NVME0), { code: "CONTROLLER_FATAL" });
  });
});

describe("a reset by the driver", () => {
  afterEach(stop);

  it("ends what is in flight with CONTROLLER_RESET, and what comes after waits for it", async () => {
    await start();
    await transfer("write", 0x77);
    const { ended } = await inFlight(100);
    machine.clearFaults(NVME0);
    const reset = controller.reset();
    const during = transfer("read", 0x77);
    await reset;
    for (const code of await ended) assert.ok(["CONTROLLER_RESET", "done"].includes(code), code);
    await during;
    await Promise.all([controller.reset(), controller.reset()]);
    await transfer("read", 0x77);
    assert.deepEqual(interruptions, new Array(3).fill("CONTROLLER_RESET"));
  });

  it("sets shadow doorbells up again", async () => {
    await start(machineWith({ shadowDoorbells: true }));
    await transfer("write", 0x19);
    const { queue, qid, close } = await polled();
    for (let round = 0; round < 3; round++) {
      await controller.reset();
      await transfer("read", 0x19);
      await controller.recreateQueuePair(qid);
      queue.reset();
      for (let n = 0; n < 9; n++) {
        queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, n);
        queue.ring();
        waitFor("a flush", () => queue.next() === n);
        queue.acknowledge();
      }
    }
    await close();
  });

  it("refuses to go on with namespaces that are others now", async () => {
    await start();
    const { admin } = controller;
    const identify = admin.identifyNamespace.bind(admin);
    admin.identifyNamespace = async (nsid) => ({ ...(await identify(nsid)), blocks: 8 });
    await assert.rejects(controller.reset(), { code: "DEVICE_CHANGED", device: NVME0 });
    await assert.rejects(transfer("read", 0), { code: "DEVICE_CHANGED" });
    assert.equal(isMaster(), false);
  });

  it("is refused once the controller is closed", async () => {
    await start();
    await controller.close();
    await assert.rejects(controller.reset(), { code: "CLOSED" });
  });
});

describe("a completion that cannot be trusted", () => {
  beforeEach(() => start());
  afterEach(stop);

  for (const effect of ["wrong-cid", "duplicate", "bad-sq-head", "bad-phase"] as const)
    it(`(${effect}) costs the commands of its queue, and no others`, async () => {
      await transfer("write", 0x42);
      const { queue, close } = await polled();
      machine.inject(NVME0, { ...LATE, count: 1 });
      machine.inject(NVME0, { on: "read", effect });
      const { data } = buffer();
      const namespace = controller.namespaces[0]!;
      const [late, met] = await codes([namespace.read(0, 1, data), namespace.read(1, 1, data)]);
      assert.equal(late, "BAD_COMPLETION", "it was in flight on the same queue");
      assert.match(met!, /^(done|BAD_COMPLETION)$/);
      await transfer("read", 0x42);
      assert.deepEqual(interruptions, []);
      queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, 1);
      queue.ring();
      waitFor("the other queue", () => queue.next() === 1);
      await close();
    });

  it("of the admin queue costs a reset", async () => {
    machine.inject(NVME0, { on: "identify", effect: "wrong-cid" });
    await assert.rejects(controller.admin.identifyNamespace(1), { code: "BAD_COMPLETION" });
    await transfer("write", 0x43);
    assert.deepEqual(interruptions, ["CONTROLLER_RESET"]);
  });
});

describe("shutdown notification", () => {
  const SHN = { mask: CC.SHN_MASK, normal: CC.SHN_NORMAL };
  beforeEach(() => start());
  afterEach(stop);

  it("comes before the controller is disabled, when it is closed", async () => {
    await transfer("write", 1);
    await controller.close();
    const written = machine.configured.get(NVME0)!.slice(-2);
    assert.deepEqual(
      written.map((cc) => [cc & SHN.mask, cc & CC.EN]),
      [
        [SHN.normal, CC.EN],
        [0, 0],
      ],
    );
  });

  it("is spared a controller in fatal status, which would not answer", async () => {
    machine.inject(NVME0, { on: "now", effect: "fatal" });
    await controller.close();
    assert.ok(machine.configured.get(NVME0)!.every((cc) => (cc & SHN.mask) === 0));
  });
});
