/** Two machines in two processes, wired to each other. */
import assert from "node:assert/strict";
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { addon } from "#lib/addon.js";
import { MachineFile } from "#lib/platform/machine-file.js";
import { OPCODE, Pair, part, Queue, type Buffer as Registered } from "../rdma/connection.js";
import { ALL_ACCESS } from "../rdma/machine.js";
import { EVENT, RnicMachine, until, WC } from "./rnic.js";

const FIXTURE = fileURLToPath(
  new URL("../../test/loopback/rnic-peer-fixture.mjs", import.meta.url),
);
const LENGTH = 1 << 20;

interface Told {
  own: { number: number; psn: number; lid: number; gid: number[] };
  to: { address: string; rkey: number };
}

describe("two machines on one wire", function () {
  this.timeout(60_000);
  let directory: string;
  let machine: RnicMachine;
  let peer: ChildProcessWithoutNullStreams;
  let lines: AsyncIterator<string>;
  let queue: Queue;
  let pair: Pair;
  let buffer: Registered;
  let remote: { address: bigint; rkey: number };

  const nextLine = async (): Promise<unknown> =>
    JSON.parse((await lines.next()).value as string) as unknown;

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-wire-"));
    const machineFile = (role: string) => {
      const file = path.join(directory, `${role}.yaml`);
      writeFileSync(file, `root_ports: [{ device: rnic, wire: { ${role}: wire.socket } }]\n`);
      return file;
    };
    machine = new RnicMachine(new MachineFile(machineFile("listen")).configuration, [1, 1]);
    assert.equal(machine.device.port(1).state, 1);
    peer = spawn(process.execPath, [FIXTURE, machineFile("connect")]);
    peer.stderr.pipe(process.stderr);
    lines = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
    const { own, to } = (await nextLine()) as Told;
    await until(() => machine.device.port(1).state === 4);

    const { device } = machine;
    const domain = device.allocateDomain();
    queue = new Queue(device.createCompletionQueue(16, false));
    const { native } = queue;
    pair = new Pair(domain.createQueuePair(native, native, { sends: 16, receives: 16 }));
    const memory = addon().allocatePinned(LENGTH, false);
    const region = domain.registerHost(memory, 0, LENGTH, ALL_ACCESS);
    buffer = { memory, region, bytes: new Uint8Array(memory.buffer) };
    domain.close();
    const options = { port: 1, gidIndex: 1, psn: 5, timeout: 14, retries: 5 };
    pair.native.initialize(options);
    pair.native.connect(options, { ...own, gid: Uint8Array.from(own.gid) });
    const gid = [...device.gids(1)[1]!.gid];
    peer.stdin.write(`${JSON.stringify({ number: pair.native.number, psn: 5, lid: 0, gid })}\n`);
    await nextLine();
    remote = { address: BigInt(to.address), rkey: to.rkey };
  });
  afterEach(() => {
    peer.kill("SIGKILL");
    pair.close();
    queue.close();
    buffer.region.close();
    buffer.memory.close();
    machine.close();
    rmSync(directory, { recursive: true });
  });

  it("read and write each other's memory, whatever the wire loses", async () => {
    for (let after = 3; after < 200; after += 40)
      machine.inject({ on: "packet", effect: "lose", after }, "0000:01:00.0");
    pair.send({ opcode: OPCODE.read, sges: [part(buffer)], remote });
    assert.equal((await queue.take(1))[0]!.status, WC.success);
    assert.ok(buffer.bytes.every((byte) => byte === 0x5a));
    buffer.bytes.forEach((_, index, all) => (all[index] = index * 13));
    const sent = Buffer.from(buffer.bytes);
    pair.send({ opcode: OPCODE.write, sges: [part(buffer)], remote });
    assert.equal((await queue.take(1))[0]!.status, WC.success);
    buffer.bytes.fill(0);
    pair.send({ opcode: OPCODE.read, sges: [part(buffer)], remote });
    assert.equal((await queue.take(1))[0]!.status, WC.success);
    assert.ok(sent.equals(buffer.bytes));
    assert.ok(machine.counters().lostPackets > 0);
  });

  it("end what is under way in bounded time when one is killed, and tell of the port", async () => {
    const requests = Array.from({ length: 16 }, () => {
      return { opcode: OPCODE.write, sges: [part(buffer)], remote };
    });
    pair.send(...requests);
    const first = await queue.take(1);
    const start = performance.now();
    peer.kill("SIGKILL");
    const ended = [...first, ...(await queue.take(16 - first.length))];
    assert.ok(performance.now() - start < 10_000);
    const failed = ended.filter(({ status }) => status !== WC.success);
    assert.equal(failed[0]!.status, WC.retryExceeded);
    assert.ok(failed.slice(1).every(({ status }) => status === WC.flushed));
    await machine.event(EVENT.portError, 2);
    assert.equal(machine.device.port(1).state, 1);
  });

  it("go on without whoever speaks another language", async () => {
    const { createConnection } = await import("node:net");
    peer.kill("SIGKILL");
    await machine.event(EVENT.portError, 2);
    const stranger = createConnection(path.join(directory, "wire.socket"));
    stranger.on("error", () => undefined).resume();
    stranger.write(Buffer.alloc(4096, "garbage "));
    await new Promise((resolve) => stranger.once("close", resolve));
    assert.equal(machine.device.port(1).state, 1);
  });
});
