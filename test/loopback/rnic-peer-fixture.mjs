// One of two machines, in a process of its own: waits for the wire, makes a queue pair, tells of it,
// and connects to the one it is told of. Its memory may be written and read.
import { createInterface } from "node:readline";
import { addon } from "#lib/addon.js";
import { MachineFile } from "#lib/platform/machine-file.js";

const LENGTH = 1 << 20;
const machine = addon().createLoopbackMachine(new MachineFile(process.argv[2]).configuration);
const device = machine.openRdmaDevice("rnic0");
const domain = device.allocateDomain();
const queue = device.createCompletionQueue(16, false);
const pair = domain.createQueuePair(queue, queue, { sends: 16, receives: 16 });
const memory = addon().allocatePinned(LENGTH, false);
new Uint8Array(memory.buffer).fill(0x5a);
const region = domain.registerHost(memory, 0, LENGTH, 7);

while (device.port(1).state !== 4) await new Promise((resolve) => setTimeout(resolve, 1));
const gid = [...device.gids(1)[1].gid];
const own = { number: pair.number, psn: 77, lid: 0, gid };
const to = { address: String(region.address), rkey: region.rkey };
console.log(JSON.stringify({ own, to }));
for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  const options = { port: 1, gidIndex: 1, psn: 77, remoteAccess: 6 };
  pair.initialize(options);
  pair.connect(options, { ...told, gid: Uint8Array.from(told.gid) });
  console.log(JSON.stringify({ connected: true }));
}
