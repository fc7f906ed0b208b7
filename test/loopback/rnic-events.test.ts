/** Who hears of what the loopback NIC tells, and when. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { Connection, FLAG, OPCODE, part, remoteOf } from "../rdma/connection.js";
import { EVENT, RnicMachine } from "./rnic.js";

const ADDON = new URL("../../dist/addon.js", import.meta.url).href;

describe("events of the loopback NIC", () => {
  let machine: RnicMachine;
  beforeEach(() => {
    machine = new RnicMachine();
  });
  afterEach(() => {
    machine.close();
  });

  it("reach every thread that listens, and each handler of one", async () => {
    const code = `
      import { parentPort } from "node:worker_threads";
      const { addon } = await import(${JSON.stringify(ADDON)});
      const device = addon().openRdmaDevice(${machine.device.id});
      device.onEvent((type, queuePair, port) => parentPort.postMessage([type, queuePair, port]));
      parentPort.postMessage("listens");
      parentPort.once("message", () => device.close());
    `;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const told: unknown[] = [];
    worker.on("message", (message) => told.push(message));
    await once(worker, "message");
    const other = addon().openRdmaDevice(machine.device.id);
    const heard: number[] = [];
    other.onEvent((type) => heard.push(type));
    machine.inject({ on: "now", effect: "link-down" });
    machine.inject({ on: "now", effect: "link-up" });
    await machine.event(EVENT.portActive, 2);
    const events = machine.events.map(({ type, queuePair, port }) => [type, queuePair, port]);
    assert.deepEqual(events, [
      [EVENT.portError, 0, 1],
      [EVENT.portError, 0, 2],
      [EVENT.portActive, 0, 1],
      [EVENT.portActive, 0, 2],
    ]);
    while (told.length < 5) await once(worker, "message");
    assert.deepEqual(told.slice(1), events);
    assert.deepEqual(
      heard,
      events.map(([type]) => type),
    );
    other.close();
    worker.postMessage("end");
    await once(worker, "exit");
    // Who stopped listening is not waited for, and others go on.
    machine.inject({ on: "now", effect: "link-down" });
    await machine.event(EVENT.portError, 4);
    assert.equal(told.length, 5);
  });

  it("are kept for whoever listens first", async () => {
    machine.device.onEvent(null);
    machine.inject({ on: "now", effect: "link-down" });
    machine.device.onEvent((type, queuePair, port) => {
      machine.events.push({ type, queuePair, port });
    });
    await machine.event(EVENT.portError, 2);
  });

  it("of completions are solicited ones where those are asked for: marked ones, and failures", async () => {
    const connection = new Connection(machine);
    const { pairs, queues } = connection;
    const [from, to] = [connection.buffer(64), connection.buffer(64)];
    const { native } = queues[1];
    const write = { opcode: OPCODE.writeImmediate, sges: [part(from)], remote: remoteOf(to) };
    const receive = async (flags: number): Promise<void> => {
      pairs[1].receive({ sges: [] });
      pairs[0].send({ ...write, flags });
      await queues[0].take(1);
      await queues[1].take(1);
    };
    native.arm(true);
    await receive(FLAG.signaled);
    assert.equal(native.waitEvent(0), false);
    await receive(FLAG.signaled | FLAG.solicited);
    assert.equal(native.waitEvent(10_000), true);
    // One event for each time that was asked.
    await receive(FLAG.signaled | FLAG.solicited);
    assert.equal(native.waitEvent(0), false);
    native.arm(true);
    native.arm(false);
    await receive(FLAG.signaled);
    assert.equal(native.waitEvent(10_000), true);
    pairs[1].receive({ sges: [] });
    native.arm(true);
    pairs[1].native.toError();
    assert.equal(native.waitEvent(10_000), true);
    connection.close();
  });
});

describe("a machine whose NIC is to fail", () => {
  const build = (fault: object) => {
    const configuration = structuredClone(builtinMachines.rdma) as object;
    JSON.stringify(configuration, (key, value: unknown) => {
      if (key === "device" && (value as { kind?: string }).kind === "rnic")
        (value as { faults: object[] }).faults = [fault];
      return value;
    });
    addon().createLoopbackMachine(configuration).close();
  };

  it("may have it lose, damage and delay packets, and is refused what is a disk's", () => {
    const packet = { on: "packet", after: 0, count: 1 };
    for (const effect of ["lose", "corrupt"]) build({ ...packet, effect });
    build({ ...packet, delay: 5 });
    for (const fault of [
      { ...packet, effect: "hang" },
      { ...packet, on: "write", effect: "lose" },
      { ...packet, on: "now", effect: "remove" },
    ])
      assert.throws(
        () => {
          build(fault);
        },
        { code: "BAD_MACHINE", message: /NIC/ },
      );
  });
});
