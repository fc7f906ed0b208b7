import assert from "node:assert/strict";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import type { MachineConfiguration } from "#lib/platform/machine-schema.js";
import { addon } from "#lib/addon.js";
import {
  Bench,
  blocks,
  CARD,
  NVME1,
  NVME2,
  PAGE,
  READ,
  WRITE,
  type Fields,
  type HostMemory,
  type RawQueue,
} from "../support/raw-nvme.js";

type Forwards = MachineConfiguration["hostBridge"]["forwards"];

const OLD = 0x55;
const BLOCKS = PAGE / 512;
const WRITE_ZEROES = 0x08;
/** NVMe 1.4 §4.6.1.2.1. */
const INVALID_PRP_OFFSET = 0x13;

/** A controller with a queue, the card mapped for it, and host memory that holds ones. */
class Setup {
  readonly bench: Bench;
  readonly card: HostMemory;
  readonly host: HostMemory;
  readonly #queue: RawQueue;

  constructor(initiator: string, forwards: Forwards, machine = builtinMachines.default) {
    this.bench = new Bench({ ...machine, hostBridge: { forwards } });
    const nvme = this.bench.nvme(initiator).enable();
    this.#queue = nvme.createPair(nvme.queue(1, 8));
    this.card = this.bench.peer(CARD);
    this.card.bytes.fill(OLD, 0, 2 * PAGE);
    this.host = this.bench.host(2 * PAGE);
    this.bench.native.resetTraffic();
  }

  status(fields: Fields): number {
    return this.#queue.run({ nsid: 1, ...fields }).status;
  }

  /** A command that succeeds, whatever became of its data. */
  run(fields: Fields): void {
    assert.equal(this.status(fields), 0);
  }

  /** The first byte of the card after the device has written a page of zeros there. */
  written(): number {
    this.run({ opcode: READ, prp1: this.card.iova, dwords: blocks(0, BLOCKS) });
    return this.card.bytes[0]!;
  }

  /** The pages that the device finds in the card from its byte `offset` on, by way of its media. */
  found(offset = 0): Uint8Array {
    const length = 2 * PAGE - offset;
    const dwords = blocks(0, length / 512);
    this.run({ opcode: WRITE, prp1: this.card.iova + offset, prp2: this.card.iova + PAGE, dwords });
    this.run({ opcode: READ, prp1: this.host.iova, prp2: this.host.iova + PAGE, dwords });
    return this.host.bytes.slice(0, length);
  }
}

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

describe("a loopback root complex", () => {
  it("that forwards all passes writes and reads between its ports", () => {
    const setup = new Setup(NVME2, "all");
    assert.deepEqual(setup.found(), filled(2 * PAGE, OLD));
    setup.run({ opcode: WRITE_ZEROES, dwords: blocks(0, BLOCKS) });
    assert.equal(setup.written(), 0);
    setup.bench.close();
  });

  it("that forwards writes alone answers reads with ones, without a fault", () => {
    const setup = new Setup(NVME2, "writes");
    assert.equal(setup.written(), 0);
    setup.card.bytes.fill(OLD, 0, 2 * PAGE);
    assert.deepEqual(setup.found(), filled(2 * PAGE, 0xff));
    assert.deepEqual(setup.found(512), filled(2 * PAGE - 512, 0xff), "from inside a page");
    assert.deepEqual(setup.bench.space.takeFaults(), []);
    setup.bench.close();
  });

  it("that forwards nothing drops writes as well, without a fault", () => {
    const setup = new Setup(NVME2, "none");
    assert.equal(setup.written(), OLD);
    assert.deepEqual(setup.found(), filled(2 * PAGE, 0xff));
    assert.deepEqual(setup.bench.space.takeFaults(), []);
    assert.deepEqual(
      setup.bench.link(CARD),
      { address: CARD, upBytes: 0, downBytes: 0, upControlBytes: 0, downControlBytes: 0 },
      "and the card sees none of it",
    );
    setup.bench.close();
  });

  it("does not see what a switch hands over below it", () => {
    const setup = new Setup(NVME1, "none");
    assert.equal(setup.written(), 0);
    setup.card.bytes.fill(OLD, 0, 2 * PAGE);
    assert.deepEqual(setup.found(), filled(2 * PAGE, OLD));
    setup.bench.close();
  });

  it("decides over what a switch redirects to it, too", () => {
    const setup = new Setup(NVME1, "writes", builtinMachines.acs);
    assert.equal(setup.written(), 0);
    setup.card.bytes.fill(OLD, 0, 2 * PAGE);
    assert.deepEqual(setup.found(), filled(2 * PAGE, 0xff));
    setup.bench.close();
  });

  it("leaves host memory and the CPU's accesses alone", () => {
    const setup = new Setup(NVME2, "none");
    const { bench, card, host } = setup;
    host.bytes.fill(OLD);
    setup.run({ opcode: READ, prp1: host.iova, dwords: blocks(0, BLOCKS) });
    assert.deepEqual(host.bytes.slice(0, PAGE), filled(PAGE, 0));
    addon().copy(card.memory, 0, host.memory, 0, PAGE);
    assert.equal(addon().read32(card.memory, 0), 0);
    bench.close();
  });

  it("has ones for a PRP list, too, so that the command fails", () => {
    const setup = new Setup(NVME2, "writes");
    const { bench, card, host } = setup;
    new BigUint64Array(card.memory.buffer).set([BigInt(host.iova), BigInt(host.iova + PAGE)]);
    const dwords = blocks(0, 3 * BLOCKS);
    const status = setup.status({ opcode: READ, prp1: host.iova, prp2: card.iova, dwords });
    assert.equal(status & 0xff, INVALID_PRP_OFFSET);
    bench.close();
  });
});
