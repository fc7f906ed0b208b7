/**
 * From one NVMe namespace to another by way of an RDMA connection, both ends in one process: the NIC takes
 * the data out of peer memory and puts them into peer memory, so that none crosses host memory. On the
 * loopback machine, whose NIC has two ports that are wired to each other:
 *
 *   node examples/rdma.ts        (Node.js 22.18 and later; earlier ones run what tsc makes of it)
 */
import { Session, statusError, verbs } from "p2pmem";

const { LOCAL_WRITE, REMOTE_WRITE } = verbs.Access;
const BYTES = 1 << 20;

const session = await Session.open({ platform: "loopback", machine: "rdma" });
const source = await session.controller("0000:03:00.0");
const destination = await session.controller("0000:04:00.0");
const card = await session.provider("0000:05:00.0/bar2");

// Both ends' memory: registered, the kernel's p2pdma permitting, as a dma-buf.
const nic = session.rdmaDevice();
const domain = nic.allocateDomain();
const [near, far] = [card.allocScatterlist(BYTES), card.allocScatterlist(BYTES)];
const from = domain.register(near, LOCAL_WRITE);
const to = domain.register(far, LOCAL_WRITE | REMOTE_WRITE);

// A queue pair on each port, each told the other's address. Two machines tell it each other over TCP.
const completions = nic.createCompletionQueue(16);
const open = (port: number) => {
  const pair = domain.createQueuePair({ sends: 8, receives: 8, sendCompletions: completions });
  const path = nic.choosePath({ port });
  const options = { port, gidIndex: path.gidIndex, mtu: path.mtu, remoteAccess: REMOTE_WRITE };
  pair.initialize(options);
  return { pair, options, address: pair.address(path) };
};
const [here, there] = [open(1), open(2)];
here.pair.connect(here.options, there.address);
there.pair.connect(there.options, here.address);

const before = session.platform.traffic();
const blocks = BYTES / source.namespaces[0]!.blockSize;
const read = near.map(source);
await source.namespaces[0]!.read(0, blocks, read);
card.barrier(); // what was read has landed before the NIC fetches it
const { WRITE } = verbs.Opcode;
const { SIGNALED } = verbs.SendFlag;
const { sends } = here.pair;
sends.write(1, WRITE, SIGNALED, from.address, BYTES, from.lkey, to.address, to.rkey);
here.pair.flush();
while (completions.poll() === 0) await new Promise(setImmediate);
const status = completions.status(0);
if (status !== 0) throw statusError(status, `a write of ${BYTES} bytes`, nic.name);
const write = far.map(destination);
await destination.namespaces[0]!.write(0, blocks, write);
const after = session.platform.traffic();

console.log(`${BYTES} bytes went over the wire`);
console.log(`${after!.hostMemoryBytes - before!.hostMemoryBytes} of them through host memory`);
for (const vector of [read, write]) vector.unmap();
await session.close();
