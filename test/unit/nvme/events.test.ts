import assert from "node:assert/strict";
import type { AdminCommands } from "#lib/nvme/admin/admin-commands.js";
import type { ControllerIdentity } from "#lib/nvme/admin/identify.js";
import { AsyncEvents, decodeEvent, type NvmeEvent } from "#lib/nvme/events.js";
import type { AdminCommand, AdminQueue } from "#lib/nvme/queues/admin-queue.js";

const SET_FEATURES = 0x09;
const ASYNC_EVENT_REQUEST = 0x0c;

/** An admin queue that the test completes. */
class FakeAdmin {
  readonly features: AdminCommand[] = [];
  readonly logs: number[] = [];
  readonly timeouts: (number | undefined)[] = [];
  requests: { resolve: (result: number) => void; reject: (error: Error) => void }[] = [];
  limit = Infinity;

  execute(command: AdminCommand, timeout?: number): Promise<number> {
    if (command.opcode === SET_FEATURES) {
      this.features.push(command);
      return Promise.resolve(0);
    }
    assert.equal(command.opcode, ASYNC_EVENT_REQUEST);
    this.timeouts.push(timeout);
    if (this.requests.length >= this.limit) return Promise.reject(new Error("limit exceeded"));
    return new Promise((resolve, reject) => this.requests.push({ resolve, reject }));
  }

  logPage(id: number, bytes: number): Promise<DataView> {
    this.logs.push(id);
    if (id >= 0xc0) return Promise.reject(new Error("no such log page"));
    return Promise.resolve(new DataView(new ArrayBuffer(bytes)));
  }
}

const turn = (): Promise<void> => new Promise(setImmediate);

describe("Asynchronous events", () => {
  const start = async (identity: Partial<ControllerIdentity> = {}, admin = new FakeAdmin()) => {
    const order: string[] = [];
    const events = new AsyncEvents(
      {
        admin: admin as unknown as AdminQueue,
        commands: admin as unknown as AdminCommands,
        identity: { asyncEventLimit: 4, optionalEvents: 0, ...identity } as ControllerIdentity,
      },
      () => {
        order.push("namespaces");
        return Promise.reject(new Error("still changing"));
      },
    );
    const told: NvmeEvent[] = [];
    await events.listen((event) => {
      order.push(event.name);
      told.push(event);
    });
    return { admin, events, told, order };
  };

  it("have the names of the specification", () => {
    const names = (result: number) => {
      const { typeName, name, logPage } = decodeEvent(result);
      return [typeName, name, logPage];
    };
    assert.deepEqual(names(0x01_01_00), ["Error status", "Invalid Doorbell Write Value", 1]);
    assert.deepEqual(names(0x02_00_01), ["SMART / Health status", "NVM subsystem Reliability", 2]);
    assert.deepEqual(names(0x03_01_02), ["Notice", "Firmware Activation Starting", 3]);
    assert.deepEqual(names(0x81_01_06), [
      "NVM Command Set Specific Status",
      "Sanitize Operation Completed",
      0x81,
    ]);
    assert.deepEqual(names(0xff_ff_ff), ["Vendor specific", "0xff", 0xff]);
    assert.deepEqual(names(0x00_07_04), ["type 4", "0x07", 0]);
  });

  it("are asked for as many at once as the controller takes, up to four, without end", async () => {
    for (const [limit, requests] of [
      [1, 1],
      [3, 3],
      [8, 4],
    ]) {
      const { admin } = await start({ asyncEventLimit: limit! });
      assert.equal(admin.requests.length, requests);
      assert.ok(admin.timeouts.every((timeout) => timeout === Infinity));
    }
  });

  it("are the critical warnings, and of the notices those that the controller has", async () => {
    const all = await start({ optionalEvents: 0xffff_ffff });
    const none = await start({ optionalEvents: 0x7c00 });
    const value = ({ admin }: typeof all) => admin.features.map(({ cdw11 }) => cdw11);
    assert.deepEqual([value(all), value(none)], [[0x31f], [0x1f]]);
  });

  it("are told once their log page was read, and asked for again", async () => {
    const { admin, told } = await start({ asyncEventLimit: 1 });
    admin.requests[0]!.resolve(0x02_01_01);
    await turn();
    assert.deepEqual(admin.logs, [2]);
    assert.equal(told[0]!.log!.byteLength, 512);
    admin.requests[1]!.resolve(0xc0_01_07);
    await turn();
    assert.deepEqual([told[1]!.log, admin.requests.length], [null, 3]);
  });

  it("of changed namespaces are told when those have been looked at, well or not", async () => {
    const { admin, order } = await start();
    admin.requests[0]!.resolve(0x04_00_02);
    await turn();
    assert.deepEqual(order, ["namespaces", "Namespace Attribute Changed"]);
    assert.equal(admin.requests.length, 5);
  });

  it("end quietly with the queue, and are asked for again after a reset", async () => {
    const { admin, events, told } = await start({ asyncEventLimit: 2 });
    for (const { reject } of admin.requests) reject(new Error("it was reset"));
    await turn();
    admin.requests = [];
    await events.startAgain();
    assert.equal(admin.requests.length, 2);
    assert.equal(admin.features.length, 2);
    admin.requests[0]!.resolve(0x02_01_01);
    await turn();
    assert.equal(told.length, 1);
  });

  it("go on with fewer requests where the controller takes fewer than it said", async () => {
    const admin = new FakeAdmin();
    admin.limit = 1;
    await start({}, admin);
    await turn();
    assert.equal(admin.requests.length, 1);
  });

  it("are not asked for before somebody listens", async () => {
    const admin = new FakeAdmin();
    const source = {
      admin: admin as unknown as AdminQueue,
      commands: admin as unknown as AdminCommands,
      identity: {} as ControllerIdentity,
    };
    const events = new AsyncEvents(source, () => Promise.resolve());
    await events.startAgain();
    await events.listen(null);
    assert.equal(admin.features.length, 0);
  });
});
