/** The memory on a NIC as a provider, which no device of the lab has. */
import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { P2pError } from "#lib/errors.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { PciTree } from "#lib/pci/tree.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { builtinMachines, type MachineConfiguration } from "#lib/platform/machine-schema.js";
import { Access, Opcode, SendFlag } from "#lib/rdma/spec.js";
import type { RdmaDevice } from "#lib/rdma/device.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { load, namespaceOf, pattern, planOf, store, withVector } from "../device/machine.js";
import { CARD, RNIC, until, WC } from "./rnic.js";

const MIB = 1 << 20;
const PAGE = 4096;
const NVME1 = "0000:03:00.0";
const NVME2 = "0000:04:00.0";
const NAME = `${RNIC}/dm`;
const ACCESS = Access.LOCAL_WRITE | Access.REMOTE_WRITE;

type Port = MachineConfiguration["rootPorts"][number];

/** The built-in machine with something else said of its NIC. */
function machineWith(nic: { driver?: string; memory?: null }): MachineConfiguration {
  const change = (ports: readonly Port[]): Port[] =>
    ports.map(({ acs, device }) => {
      if (device.kind === "switch")
        return { acs, device: { ...device, ports: change(device.ports) } };
      return { acs, device: device.kind === "rnic" ? { ...device, ...nic } : device };
    });
  const { rdma } = builtinMachines;
  return { ...rdma, rootPorts: change(rdma.rootPorts) };
}

describe("the memory on a NIC, as a provider", () => {
  let platform: LoopbackPlatform;
  let session: Session;

  const open = (configuration: MachineConfiguration = builtinMachines.rdma): void => {
    platform = new LoopbackPlatform(configuration);
    const chosen = { platform, pci: new PciTree(platform.topology()), reason: "a test" };
    session = Reflect.construct(Session, [chosen, {}]) as Session;
  };
  const remove = (): void => {
    platform.inject(RNIC, { on: "now", effect: "remove" });
  };
  const listOf = (provider: Provider, offset: number, length: number): ScatterList =>
    new ScatterList(session.addressSpace).addPeer(provider, offset, length);

  /** Of two queue pairs that are connected, the first; and the queue in which its requests end. */
  function connect(nic: RdmaDevice) {
    const domain = nic.allocateDomain();
    const completions = nic.createCompletionQueue(16);
    const ends = [1, 2].map((port) => {
      const path = nic.choosePath({ port });
      const pair = domain.createQueuePair({ sends: 4, receives: 4, sendCompletions: completions });
      const options = { port, gidIndex: path.gidIndex, remoteAccess: ACCESS };
      pair.initialize(options);
      return { pair, options, address: pair.address(path) };
    });
    const [near, far] = [ends[0]!, ends[1]!];
    near.pair.connect(near.options, far.address);
    far.pair.connect(far.options, near.address);
    const ended = async (): Promise<number> => {
      await until(() => completions.poll() > 0);
      return completions.status(0);
    };
    return { domain, pair: near.pair, ended };
  }

  afterEach(() => session.close());

  it("holds what an NVMe controller reads, and the NIC sends: not a byte crosses host memory", async () => {
    open();
    const namespaces: NvmeNamespace[] = [];
    for (const device of [NVME1, NVME2]) namespaces.push(await namespaceOf(session, device));
    const [source, destination] = [namespaces[0]!, namespaces[1]!];
    const provider = await session.provider(NAME);
    const data = pattern(MIB / 2, 1);
    await store(session, source, 0, data);
    const { domain, pair, ended } = connect(session.rdmaDevice());
    const from = domain.register(listOf(provider, 0, data.length), ACCESS);
    const to = domain.register(listOf(provider, MIB, data.length), ACCESS);
    const blocks = data.length / 512;

    const before = platform.traffic();
    await withVector(listOf(provider, 0, data.length), source, async (vector) => {
      assert.equal(vector.mapType, "THROUGH_HOST_BRIDGE");
      await source.read(0, blocks, vector);
    });
    provider.barrier();
    const flags = SendFlag.SIGNALED;
    pair.sends.write(
      1,
      Opcode.WRITE,
      flags,
      from.address,
      data.length,
      from.lkey,
      to.address,
      to.rkey,
    );
    pair.flush();
    assert.equal(await ended(), WC.success);
    await withVector(listOf(provider, MIB, data.length), destination, (vector) =>
      destination.write(0, blocks, vector),
    );
    const after = platform.traffic();

    assert.equal(after.hostMemoryBytes - before.hostMemoryBytes, 0);
    // Down to it from one controller, up to the other; what it sends itself stays inside.
    const of = ({ links }: typeof after) => links.find(({ address }) => address === RNIC)!;
    assert.equal(of(after).downBytes - of(before).downBytes, data.length);
    assert.equal(of(after).upBytes - of(before).upBytes, data.length);
    assert.deepEqual(await load(session, destination, 0, data.length), data);
  });

  it("is what the NIC's address alone means, and is found once it is open", async () => {
    open();
    const ranges = await session.providerRanges(RNIC);
    assert.deepEqual(ranges[0], {
      ...{ kind: "dm", label: "dm", bar: null, offset: 0, size: 64 * MIB, abilities: null },
    });
    const provider = await session.provider(RNIC);
    assert.equal(provider.name, NAME);
    assert.equal(await session.provider(NAME), provider);
    assert.equal(session.findProvider([NVME1, NVME2], MIB), provider);
    provider.unpublish();
    assert.throws(() => session.findProvider([NVME1], MIB), { code: "NO_PROVIDER" });
  });

  it("can be open before there is a device to map it for", async () => {
    open();
    const provider = await session.provider(NAME);
    assert.throws(() => listOf(provider, 0, PAGE), { code: "NO_DEVICE" });
    const plan = planOf(NVME1, NVME2, { path: "p2p", provider, size: MIB, bs: 65536 });
    await runCopy(session, plan);
    assert.equal(provider.isIdentityMapped, false);
    const { host_memory_bytes } = (await runCopy(session, plan)).traffic;
    assert.equal(host_memory_bytes, 0);
  });

  it("is given out until there is none left, and all of it is one provider's", async () => {
    open();
    await session.controller(NVME1);
    const taken = session.rdmaDevice().native.allocateMemory(PAGE);
    await assert.rejects(session.provider(NAME), { code: "NO_ROOM", device: RNIC });
    taken.close();
    const provider = await session.provider(NAME);
    const held = [provider.pool.alloc(60 * MIB), provider.pool.alloc(4 * MIB)];
    assert.throws(() => provider.pool.alloc(PAGE), { code: "NO_ROOM" });
    const plan = planOf(NVME1, NVME2, { path: "p2p", provider, size: MIB });
    await assert.rejects(runCopy(session, plan), { code: "NO_ROOM" });
    const { native } = session.rdmaDevice();
    assert.throws(() => native.allocateMemory(PAGE), { code: "NO_ROOM" });
    for (const allocation of held) provider.pool.free(allocation);
    await runCopy(session, plan);
    await provider.close();
    native.allocateMemory(64 * MIB).close();
    await session.provider(NAME);
  });

  it("is no use to its holders once the NIC is gone, and stays theirs until they let go", async () => {
    open();
    const namespace = await namespaceOf(session, NVME1);
    const provider = await session.provider(NAME);
    const nic = session.rdmaDevice();
    const { domain, pair, ended } = connect(nic);
    const region = domain.register(listOf(provider, 0, PAGE), ACCESS);
    const allocation = provider.pool.alloc(PAGE);
    const told = new Promise<P2pError>((resolve) => {
      allocation.onRevoke(resolve);
    });
    provider.assertAlive();
    remove();
    const lost = await told;
    assert.deepEqual([lost.code, lost.device], ["DEVICE_GONE", RNIC]);
    assert.throws(() => provider.pool.alloc(PAGE), { code: "REVOKED" });
    assert.throws(() => listOf(provider, 0, PAGE).map(namespace.controller), { code: "REVOKED" });
    assert.throws(() => region.assertUsable(), { code: "REVOKED" });
    pair.sends.write(1, Opcode.SEND, SendFlag.SIGNALED, region.address, PAGE, region.lkey);
    pair.flush();
    assert.equal(await ended(), WC.flushed);
    await assert.rejects(session.provider(NAME), { code: "NO_PROVIDER" });
    assert.ok(provider.memory.buffer.byteLength > 0, "nobody unmaps what is held");

    const closed = provider.close();
    provider.pool.free(allocation);
    await closed;
    // The session gives the lost one to nobody any more, though it is open still.
    assert.throws(() => session.rdmaDevice(), { code: "NO_RDMA_DEVICE" });
    platform.replug(RNIC);
    assert.notEqual(session.rdmaDevice(), nic);
    const again = await session.provider(NAME);
    await runCopy(session, planOf(NVME1, NVME2, { path: "p2p", provider: again, size: MIB }));
  });

  it("is known to be gone by who looks, before anybody is told", async () => {
    open();
    const provider = await session.provider(NAME);
    remove();
    assert.throws(
      () => {
        provider.assertAlive();
      },
      { code: "DEVICE_GONE" },
    );
    assert.throws(
      () => {
        provider.assertUsable();
      },
      { code: "REVOKED" },
    );
  });

  it("ends a copy through it when the NIC is removed, and no other", async () => {
    open();
    const provider = await session.provider(NAME);
    let isRemoved = false;
    const onProgress = (moved: number): void => {
      if (moved > 0 && !isRemoved) remove();
      isRemoved ||= moved > 0;
    };
    const rest = { size: MIB, bs: 65536 };
    const endless = { ...rest, path: "p2p", provider, runtime: 3600, onProgress } as const;
    await assert.rejects(runCopy(session, planOf(NVME1, NVME2, endless)), {
      code: /DEVICE_GONE|REVOKED/,
    });
    const card = await session.provider(CARD);
    await runCopy(session, planOf(NVME1, NVME2, { ...rest, path: "p2p", provider: card }));
  });

  it("is whole, not exported, and not its BAR, which is the kernel driver's", async () => {
    open();
    await assert.rejects(session.provider(`${NAME}@0+1m`), { code: "BAD_RANGE" });
    await assert.rejects(session.provider(`${RNIC}/bar2`), { code: "NOT_BOUND" });
    await assert.rejects(session.provider(`${CARD}/dm`), { code: "NO_PROVIDER" });
    const provider = await session.provider(NAME);
    assert.throws(() => provider.exportDmabuf(0, PAGE), { code: "NO_DMABUF" });
  });

  it("is not there where the NIC has none, or is VFIO's, whose BAR it is then", async () => {
    open(machineWith({ memory: null }));
    assert.deepEqual(await session.providerRanges(RNIC), []);
    await assert.rejects(session.provider(NAME), { code: "NO_PROVIDER" });
    await session.close();
    open(machineWith({ driver: "vfio-pci" }));
    assert.deepEqual(
      (await session.providerRanges(RNIC)).map(({ label }) => label),
      ["bar2"],
    );
    assert.equal((await session.provider(RNIC)).name, `${RNIC}/bar2`);
  });
});
