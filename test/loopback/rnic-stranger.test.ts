/** A NIC whose wire leads to a peer that keeps to no rule but that of the packets' form. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { addon } from "#lib/addon.js";
import { MachineFile } from "#lib/platform/machine-file.js";
import { OPCODE, Pair, part, Queue, type Buffer as Registered } from "../rdma/connection.js";
import { ACCESS, ALL_ACCESS } from "../rdma/machine.js";
import { RnicMachine, until, WC } from "./rnic.js";

/** native/loopback/rnic_packet.h */
const KIND = { write: 1, readRequest: 2, readResponse: 3, acknowledge: 4 };

const LAST = 2;
const HEADER = 48;
const MTU = 1024;
const LENGTH = 9 << 20;
const STRANGER = 0x123;

interface Header {
  readonly kind: number;
  readonly psn: number;
  readonly flags?: number;
  readonly length?: number;
}

describe("a NIC whose peer breaks the rules", function () {
  this.timeout(30_000);
  let directory: string;
  let machine: RnicMachine;
  let socket: Socket;
  let got: Buffer;
  let queue: Queue;
  let pair: Pair;
  let buffer: Registered;

  const say = ({ kind, psn, flags = 0, length = 0 }: Header, payload = 0): void => {
    const packet = Buffer.alloc(HEADER + payload, 0x77);
    packet.fill(0, 0, HEADER);
    packet[0] = kind;
    packet[1] = flags;
    packet.writeUInt32LE(pair.native.number, 4);
    packet.writeUInt32LE(STRANGER, 8);
    packet.writeUInt32LE(psn, 12);
    packet.writeBigUInt64LE(BigInt(length), 32);
    packet.writeUInt32LE(payload, 40);
    socket.write(packet);
  };
  /** The headers of what has come, with their data between them. */
  const heard = (): { kind: number; psn: number }[] => {
    const packets = [];
    for (let at = 16; at + HEADER <= got.length; at += HEADER + got.readUInt32LE(at + 40))
      packets.push({ kind: got[at]!, psn: got.readUInt32LE(at + 12) });
    return packets;
  };
  const read = (length: number): void => {
    pair.send({
      opcode: OPCODE.read,
      sges: [part(buffer, 0, length)],
      remote: { address: 0n, rkey: 1 },
    });
  };

  const connect = (mtu: number, timeout = 0): void => {
    const options = { port: 1, gidIndex: 0, psn: 100, mtu, readsAsInitiator: 16, timeout };
    pair.native.initialize({ ...options, remoteAccess: ACCESS.remoteWrite });
    const gid = new Uint8Array(16).fill(1);
    pair.native.connect(options, { number: STRANGER, psn: 100, lid: 0, gid });
  };

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-stranger-"));
    const file = path.join(directory, "machine.yaml");
    writeFileSync(file, "root_ports: [{ device: rnic, wire: { listen: wire.socket } }]\n");
    machine = new RnicMachine(new MachineFile(file).configuration, [1, 1]);
    socket = createConnection(path.join(directory, "wire.socket"));
    got = Buffer.alloc(0);
    socket.on("data", (data) => (got = Buffer.concat([got, data])));
    socket.on("error", () => undefined);
    const greeting = Buffer.alloc(16);
    greeting.write("p2pmem-rnic 1\n");
    socket.write(greeting);
    await until(() => machine.device.port(1).state === 4);
    const { device } = machine;
    const domain = device.allocateDomain();
    queue = new Queue(device.createCompletionQueue(16, false));
    const { native } = queue;
    pair = new Pair(
      domain.createQueuePair(native, native, { sends: 16, receives: 16, sendSge: 16 }),
    );
    const memory = addon().allocatePinned(LENGTH, false);
    const region = domain.registerHost(memory, 0, LENGTH, ALL_ACCESS);
    buffer = { memory, region, bytes: new Uint8Array(memory.buffer) };
    domain.close();
  });
  afterEach(() => {
    socket.destroy();
    pair.close();
    queue.close();
    buffer.region.close();
    buffer.memory.close();
    machine.close();
    rmSync(directory, { recursive: true });
  });

  for (const [what, payload] of [
    ["has no data", 0],
    ["is shorter than the MTU", MTU / 2],
    ["is longer than the read", 4096],
  ] as const)
    it(`ends the connection where an answer to a read ${what}`, async () => {
      connect(MTU);
      read(2 * MTU);
      await until(() => heard().some(({ kind }) => kind === KIND.readRequest));
      say({ kind: KIND.readResponse, psn: 100, length: 2 * MTU }, payload);
      assert.equal((await queue.take(1))[0]!.status, WC.localLength);
      assert.equal(pair.native.state(), "error");
    });

  it("takes answers that are whole packets, and the rest", async () => {
    connect(MTU);
    read(2 * MTU + 10);
    await until(() => heard().some(({ kind }) => kind === KIND.readRequest));
    say({ kind: KIND.readResponse, psn: 100 }, 2 * MTU);
    say({ kind: KIND.readResponse, psn: 102 }, 10);
    assert.equal((await queue.take(1))[0]!.status, WC.success);
    assert.ok(buffer.bytes.subarray(0, 2 * MTU + 10).every((byte) => byte === 0x77));
  });

  it("takes the acknowledgement of what it sent before, while it sends it again", async () => {
    connect(MTU, 18); // a second
    const length = 2 << 20;
    const remote = { address: 0n, rkey: 1 };
    const write = { opcode: OPCODE.write, remote };
    pair.send(
      { ...write, sges: [part(buffer, 0, length)], id: 1n },
      { ...write, sges: [part(buffer, 0, MTU)], id: 2n },
    );
    const packets = length / MTU;
    await until(() => heard().length > packets);
    // What comes again goes no further than the socket takes it: a megabyte, about.
    socket.pause();
    const { timeouts } = machine.counters();
    await until(() => machine.counters().timeouts > timeouts);
    say({ kind: KIND.acknowledge, psn: 100 + packets - 1 });
    assert.deepEqual(
      (await queue.take(1)).map(({ id, status }) => [id, status]),
      [[1n, WC.success]],
    );
    say({ kind: KIND.acknowledge, psn: 100 + packets });
    assert.deepEqual(
      (await queue.take(1)).map(({ id, status }) => [id, status]),
      [[2n, WC.success]],
    );
    // And goes on with what is new.
    pair.send({ ...write, sges: [part(buffer, 0, MTU)], id: 3n });
    socket.resume();
    await until(() => heard().at(-1)!.psn === 100 + packets + 1);
    say({ kind: KIND.acknowledge, psn: 100 + packets + 1 });
    assert.equal((await queue.take(1))[0]!.status, WC.success);
  });

  it("has no more packets under way than half of their numbers", async () => {
    connect(256);
    const sges = Array.from({ length: 16 }, () => part(buffer));
    const remote = { address: 0n, rkey: 1 };
    pair.send(...Array.from({ length: 16 }, () => ({ opcode: OPCODE.read, sges, remote })));
    const fit = Math.floor(2 ** 23 / ((16 * LENGTH) / 256));
    assert.ok(fit < 16);
    await until(() => heard().length >= fit);
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
    assert.equal(heard().length, fit);
  });

  it("loses answers that the peer does not take, rather than keep them all", async () => {
    connect(MTU);
    socket.pause();
    for (let packet = 0; packet < 100_000; packet++)
      say({ kind: KIND.write, flags: LAST, psn: 99 });
    await until(() => machine.counters().lostPackets > 0);
    assert.equal(pair.native.state(), "ready-to-send");
  });
});
