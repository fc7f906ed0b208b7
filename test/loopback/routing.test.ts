import assert from "node:assert/strict";
import { configureCmb } from "#lib/platform/cmb-schema.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import type { AcsControl, MachineConfiguration } from "#lib/platform/machine-schema.js";
import { addon } from "#lib/addon.js";
import {
  Bench,
  blocks,
  CARD,
  NVME0,
  NVME1,
  NVME2,
  READ,
  waitFor,
  WRITE,
  type RawQueue,
} from "../support/raw-nvme.js";

const BYTES = 4096;
const UPSTREAM = "0000:01:00.0";

/** The default machine, with these bits on at the downstream ports of its switch. */
function withAcs(...bits: AcsControl[][]): MachineConfiguration {
  const machine = structuredClone(builtinMachines.default);
  const below = machine.rootPorts[0]?.device;
  assert.ok(below?.kind === "switch");
  below.ports.forEach((port, index) => (port.acs = bits[index] ?? []));
  return machine;
}

/**
 * Two switches: a controller (0000:03:00.0) beside the second, which has a card (0000:06:00.0).
 * `upper`: on at the port of the first switch that leads to the second; `lower`: at the card's port.
 */
function twoLevels(upper: AcsControl[], lower: AcsControl[]): MachineConfiguration {
  const machine = withAcs();
  const below = machine.rootPorts[0]?.device;
  assert.ok(below?.kind === "switch");
  const [, nvme, card] = below.ports;
  assert.ok(nvme && card);
  const second = { kind: "switch" as const, ports: [{ ...card, acs: lower }] };
  below.ports = [nvme, { acs: upper, device: second }];
  return machine;
}

/** Payload bytes by link, in units of the transfer: "up" and "down". */
function payload(bench: Bench): Record<string, string> {
  const entries = bench.native.traffic().links.flatMap(({ address, upBytes, downBytes }) => {
    const text = [upBytes && `up ${upBytes / BYTES}`, downBytes && `down ${downBytes / BYTES}`];
    return upBytes || downBytes ? [[address, text.filter(Boolean).join(", ")]] : [];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

interface Setup {
  bench: Bench;
  queue: RawQueue;
  target: number;
}

/** `initiator` with an I/O queue, and the RAM of `provider` mapped at its bus address. */
function setUp(initiator: string, provider: string, machine = builtinMachines.default): Setup {
  const bench = new Bench(machine);
  const nvme = bench.nvme(initiator).enable();
  const queue = nvme.createPair(nvme.queue(1, 8));
  const target = bench.peer(provider).iova;
  bench.native.resetTraffic();
  return { bench, queue, target };
}

/** NVMe read: the device writes to the target. NVMe write: it reads from there. */
function transfer({ queue, target }: Setup, opcode: number): void {
  const { status } = queue.run({ opcode, nsid: 1, prp1: target, dwords: blocks(0, BYTES / 512) });
  assert.equal(status, 0);
}

describe("loopback routing", () => {
  const cases: {
    title: string;
    initiator: string;
    provider: string;
    machine?: MachineConfiguration;
    opcode: number;
    links: Record<string, string>;
    root: number;
  }[] = [
    {
      title: "a write to a peer below the same switch goes straight there",
      initiator: NVME1,
      provider: CARD,
      opcode: READ,
      links: { [NVME1]: "up 1", [CARD]: "down 1" },
      root: 0,
    },
    {
      title: "a read from a peer below the same switch comes straight back",
      initiator: NVME1,
      provider: CARD,
      opcode: WRITE,
      links: { [NVME1]: "down 1", [CARD]: "up 1" },
      root: 0,
    },
    {
      title: "with Request Redirect a write climbs to the root and comes down again",
      initiator: NVME1,
      provider: CARD,
      machine: builtinMachines.acs,
      opcode: READ,
      links: { [NVME1]: "up 1", [UPSTREAM]: "up 1, down 1", [CARD]: "down 1" },
      root: 1,
    },
    {
      title: "with Completion Redirect the data of a read climbs to the root and comes down again",
      initiator: NVME1,
      provider: CARD,
      machine: builtinMachines.acs,
      opcode: WRITE,
      links: { [NVME1]: "down 1", [UPSTREAM]: "up 1, down 1", [CARD]: "up 1" },
      root: 1,
    },
    {
      title: "Completion Redirect at the target's port alone leaves writes direct",
      initiator: NVME1,
      provider: CARD,
      machine: withAcs([], [], ["cr"]),
      opcode: READ,
      links: { [NVME1]: "up 1", [CARD]: "down 1" },
      root: 0,
    },
    {
      title: "Completion Redirect at the target's port alone redirects reads",
      initiator: NVME1,
      provider: CARD,
      machine: withAcs([], [], ["cr"]),
      opcode: WRITE,
      links: { [NVME1]: "down 1", [UPSTREAM]: "up 1, down 1", [CARD]: "up 1" },
      root: 1,
    },
    {
      title: "Request Redirect at the initiator's port alone leaves completions direct",
      initiator: NVME1,
      provider: CARD,
      machine: withAcs([], ["rr"], []),
      opcode: WRITE,
      links: { [NVME1]: "down 1", [CARD]: "up 1" },
      root: 0,
    },
    {
      title: "Request Redirect at another port changes nothing",
      initiator: NVME1,
      provider: CARD,
      machine: withAcs(["rr", "cr"], [], []),
      opcode: READ,
      links: { [NVME1]: "up 1", [CARD]: "down 1" },
      root: 0,
    },
    {
      title: "from a root port of its own, a write crosses the root complex",
      initiator: NVME2,
      provider: CARD,
      opcode: READ,
      links: { [NVME2]: "up 1", [UPSTREAM]: "down 1", [CARD]: "down 1" },
      root: 1,
    },
    {
      title: "from a root port of its own, a read crosses the root complex",
      initiator: NVME2,
      provider: CARD,
      opcode: WRITE,
      links: { [NVME2]: "down 1", [UPSTREAM]: "up 1", [CARD]: "up 1" },
      root: 1,
    },
    {
      title: "Completion Redirect below the switch where the paths meet changes nothing",
      initiator: "0000:03:00.0",
      provider: "0000:06:00.0",
      machine: twoLevels([], ["cr"]),
      opcode: WRITE,
      links: { "0000:03:00.0": "down 1", "0000:04:00.0": "up 1", "0000:06:00.0": "up 1" },
      root: 0,
    },
    {
      title: "Completion Redirect at the port where the paths meet redirects reads from below it",
      initiator: "0000:03:00.0",
      provider: "0000:06:00.0",
      machine: twoLevels(["cr"], []),
      opcode: WRITE,
      links: {
        "0000:03:00.0": "down 1",
        [UPSTREAM]: "up 1, down 1",
        "0000:04:00.0": "up 1",
        "0000:06:00.0": "up 1",
      },
      root: 1,
    },
    {
      title: "a peer's CMB is reached as a card is",
      initiator: NVME1,
      provider: NVME0,
      opcode: READ,
      links: { [NVME1]: "up 1", [NVME0]: "down 1" },
      root: 0,
    },
  ];

  for (const { title, initiator, provider, machine, opcode, links, root } of cases)
    it(title, () => {
      const setup = setUp(initiator, provider, machine);
      transfer(setup, opcode);
      assert.deepEqual(payload(setup.bench), links);
      const { rootComplexBytes, hostMemoryBytes } = setup.bench.native.traffic();
      assert.deepEqual([rootComplexBytes, hostMemoryBytes], [root * BYTES, 0]);
      setup.bench.close();
    });

  it("counts queue entries, lists and completions as control bytes, apart and exactly", () => {
    const setup = setUp(NVME1, CARD);
    const { bench, queue, target } = setup;
    const list = bench.host(4096);
    const entries = new BigUint64Array(list.memory.buffer);
    for (let page = 1; page < 4; page++) entries[page - 1] = BigInt(target + page * 4096);
    const { status } = queue.run({
      opcode: READ,
      nsid: 1,
      prp1: target,
      prp2: list.iova,
      dwords: blocks(0, 32),
    });
    assert.equal(status, 0);
    const traffic = bench.native.traffic();
    assert.equal(traffic.hostMemoryBytes, 0);
    assert.equal(traffic.hostControlBytes, 64 + 3 * 8 + 16);
    const link = bench.link(NVME1);
    assert.deepEqual([link.upBytes, link.downBytes], [4 * 4096, 0]);
    assert.deepEqual([link.upControlBytes, link.downControlBytes], [16, 64 + 3 * 8]);
    assert.deepEqual(
      [bench.link(UPSTREAM).upControlBytes, bench.link(CARD).downControlBytes],
      [16, 0],
    );
    bench.close();
  });

  it("counts transfers to host memory in host memory, root complex and both links", () => {
    const setup = setUp(NVME1, CARD);
    const host = setup.bench.host(4096);
    transfer({ ...setup, target: host.iova }, READ);
    const { hostMemoryBytes, rootComplexBytes } = setup.bench.native.traffic();
    assert.deepEqual([hostMemoryBytes, rootComplexBytes], [BYTES, BYTES]);
    assert.deepEqual(payload(setup.bench), { [NVME1]: "up 1", [UPSTREAM]: "up 1" });
    setup.bench.close();
  });

  it("counts what the CPU copies to and from a BAR", () => {
    const bench = new Bench();
    const card = bench.peerMemory(CARD);
    const host = bench.host(BYTES);
    addon().copy(card.memory, 0, host.memory, 0, BYTES);
    addon().copy(host.memory, 0, card.memory, 0, BYTES);
    const { hostMemoryBytes, rootComplexBytes } = bench.native.traffic();
    assert.deepEqual([hostMemoryBytes, rootComplexBytes], [2 * BYTES, 2 * BYTES]);
    assert.deepEqual(payload(bench), { [UPSTREAM]: "up 1, down 1", [CARD]: "up 1, down 1" });
    bench.close();
  });

  it("keeps a controller's access to its own CMB inside, by CMBMSC.CBA", () => {
    const { bench, queue, target } = setUp(NVME0, NVME0);
    bench
      .device(NVME0)
      .region(0)
      .write64(0x50, BigInt(target) | 3n); // CRE, CMSE
    const command = { opcode: READ, nsid: 1, prp1: target, dwords: blocks(0, 8) };
    assert.equal(queue.run(command).status, 0);
    assert.deepEqual(payload(bench), {});
    assert.equal(bench.native.traffic().rootComplexBytes, 0);
    bench.close();
  });

  it("ends what leads elsewhere where a controller's own memory begins and ends", () => {
    const machine = structuredClone(builtinMachines.default);
    const below = machine.rootPorts[0]?.device;
    assert.ok(below?.kind === "switch" && below.ports[0]?.device.kind === "nvme");
    below.ports[0].device.cmb = configureCmb({ size: BYTES });
    const { bench, queue } = setUp(NVME0, CARD, machine);
    const cmb = bench.peerMemory(NVME0);
    const cmbmsc = (address: number) => {
      bench
        .device(NVME0)
        .region(0)
        .write64(0x50, BigInt(address) | 3n); // CRE, CMSE
    };
    const write = (prp1: number, prp2 = 0) => {
      const command = { opcode: READ, nsid: 1, prp1, prp2 };
      const count = ((prp2 ? 2 : 1) * BYTES) / 512;
      assert.equal(queue.run({ ...command, dwords: blocks(0, count) }).status, 0);
    };

    // In the midst of host memory.
    const host = bench.host(3 * BYTES);
    cmbmsc(host.iova + BYTES);
    for (const act of [
      () => {
        write(host.iova + 2 * BYTES);
        write(host.iova + BYTES);
      },
      () => {
        write(host.iova, host.iova + BYTES);
      },
    ]) {
      cmb.bytes.fill(0xee);
      host.bytes.fill(0xee);
      act();
      assert.deepEqual([cmb.bytes[0], host.bytes[BYTES]], [0, 0xee]);
    }

    // Behind a page that is not mapped.
    const unmapped = 0x7000_0000;
    cmbmsc(unmapped + BYTES);
    cmb.bytes.fill(0xee);
    write(unmapped, unmapped + BYTES);
    assert.equal(cmb.bytes[0], 0);
    assert.deepEqual(
      bench.space.takeFaults()?.map(({ iova }) => iova),
      [BigInt(unmapped)],
    );

    // In the midst of a peer's BAR.
    const card = bench.peerMemory(CARD);
    cmbmsc(card.iova + BYTES);
    const firsts = () =>
      [card.bytes[0], card.bytes[BYTES], card.bytes[2 * BYTES], cmb.bytes[0]].join();
    cmb.bytes.fill(1);
    card.bytes.fill(1, 0, 3 * BYTES);
    write(card.iova + 2 * BYTES);
    assert.equal(firsts(), "1,1,0,1");
    write(card.iova + BYTES);
    assert.equal(firsts(), "1,1,0,0");
    write(card.iova);
    assert.equal(firsts(), "0,1,0,0");
    bench.close();
  });

  it("does not let a request turn round at the port below which it began", () => {
    // Without CBA the address is just one in the port's own window (PCIe 6.0 §6.12.1).
    const { bench, queue, target } = setUp(NVME0, NVME0);
    const command = { opcode: READ, nsid: 1, prp1: target, dwords: blocks(0, 8) };
    assert.equal(queue.run(command).status, 0);
    const faults = bench.space.takeFaults();
    assert.match(faults?.[0]?.reason ?? "", /unsupported request/);
    assert.deepEqual(payload(bench), {});
    bench.close();
  });

  it("goes straight to a peer that is mapped nowhere, for no IOMMU sees the request", () => {
    const { bench, queue, target } = setUp(NVME1, CARD);
    const card = bench.peerMemory(CARD);
    bench.space.unmap(BigInt(target), card.memory.size);
    card.bytes.fill(0xee, 0, BYTES);
    transfer({ bench, queue, target }, READ);
    assert.equal(card.bytes[0], 0);
    assert.deepEqual(bench.space.takeFaults(), []);
    bench.close();
  });

  it("drops each page that no BAR claims, and delivers the page of a BAR that follows", () => {
    // Of the port's window, 1 MiB at least, a card of one page leaves the rest to nobody; the next
    // port's window, and the BAR in it, follow at once.
    const machine = structuredClone(builtinMachines.default);
    const below = machine.rootPorts[0]?.device;
    assert.ok(below?.kind === "switch");
    const card = { kind: "card" as const, driver: "vfio-pci", memory: BYTES };
    const nvme = below.ports[1];
    assert.ok(nvme?.device.kind === "nvme");
    below.ports = [nvme, { acs: [], device: card }, { acs: [], device: card }];
    const [initiator, provider] = ["0000:03:00.0", "0000:05:00.0"];
    const { bench, queue, target } = setUp(initiator, provider, machine);
    const { bytes } = bench.peerMemory(provider);
    bytes.fill(0xee);
    const list = bench.host(BYTES);
    new BigUint64Array(list.memory.buffer).set([BigInt(target - BYTES), BigInt(target)]);
    const { status } = queue.run({
      opcode: READ,
      nsid: 1,
      prp1: target - 2 * BYTES,
      prp2: list.iova,
      dwords: blocks(0, (3 * BYTES) / 512),
    });
    assert.equal(status, 0);
    assert.ok(bytes.every((byte) => byte === 0));
    assert.deepEqual(payload(bench), { [initiator]: "up 1", [provider]: "down 1" });
    const reason = "unsupported request: no device answers there";
    assert.deepEqual(
      bench.space.takeFaults(),
      [target - 2 * BYTES, target - BYTES].map((address) => ({
        device: initiator,
        iova: BigInt(address),
        write: true,
        reason,
      })),
    );
    bench.close();
  });

  it("drops what is meant for a peer with memory decode off", () => {
    const setup = setUp(NVME1, CARD);
    const { bench, target } = setup;
    bench.device(CARD).region(7).write16(0x04, 0);
    transfer(setup, READ);
    assert.deepEqual(payload(bench), {});
    assert.deepEqual(
      bench.space.takeFaults()?.map(({ device, iova, write }) => ({ device, iova, write })),
      [{ device: NVME1, iova: BigInt(target), write: true }],
    );
    bench.close();
  });

  it("puts nothing on the wire while bus mastering is off", () => {
    const setup = setUp(NVME1, CARD);
    const { bench, queue, target } = setup;
    bench.device(NVME1).setBusMaster(false);
    queue.push({ opcode: READ, nsid: 1, prp1: target, dwords: blocks(0, 8) });
    queue.ring();
    // Not even the entry can be fetched, which a controller reports as fatal.
    const status = bench.device(NVME1).region(0);
    waitFor("CSTS.CFS", () => (status.read32(0x1c) & 2) !== 0);
    assert.equal(queue.poll(), null);
    const { hostControlBytes } = bench.native.traffic();
    assert.deepEqual([payload(bench), hostControlBytes], [{}, 0]);
    bench.close();
  });
});
