/** Which RDMA device a session gives. */
import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { RdmaDevices } from "#lib/rdma/devices.js";
import { EventType } from "#lib/rdma/events.js";
import { fakeSwitch, fakeTopology } from "../../support/fake-pci.js";
import { FakePlatform } from "../../support/fake-platform.js";
import { ACTIVE, FakeRdmaDevice } from "../../support/fake-rdma.js";

const DOWN = { ...ACTIVE, state: 1 };

interface Facts {
  address: string | null;
  isUp: boolean;
  isBroken?: boolean;
}

class RdmaPlatform extends FakePlatform {
  readonly log: string[] = [];
  /** The last that was opened. */
  opened: FakeRdmaDevice | null = null;
  readonly #devices: ReadonlyMap<string, Facts>;

  constructor(devices: Record<string, Facts>) {
    super([]);
    this.#devices = new Map(Object.entries(devices));
  }

  override rdmaDevices(): never[] {
    return [...this.#devices].map(([name, { address }]) => ({ name, address })) as never[];
  }

  override openRdmaDevice(name: string): never {
    const found = this.#devices.get(name);
    if (found === undefined) return super.openRdmaDevice(name);
    this.log.push(name);
    if (found.isBroken === true) throw new P2pError("PERMISSION", `${name} is somebody else's`);
    const ports = [DOWN, found.isUp ? ACTIVE : DOWN];
    this.opened = new FakeRdmaDevice({ name, ports });
    return this.opened.native as never;
  }
}

const TREE = new PciTree(fakeTopology(fakeSwitch(0)));
const NIC = parseBdf("04:00.0");

describe("The RDMA devices of a machine", () => {
  it("are listed without being opened", () => {
    const platform = new RdmaPlatform({
      mlx5_0: { address: NIC, isUp: true },
      rxe0: { address: null, isUp: true },
    });
    const devices = new RdmaDevices(platform, TREE);
    assert.deepEqual(devices.list(), [
      { name: "mlx5_0", address: NIC },
      { name: "rxe0", address: null },
    ]);
    assert.deepEqual(platform.log, []);
  });

  it("are opened once each, with the PCI function that this machine shows", () => {
    const platform = new RdmaPlatform({
      mlx5_0: { address: NIC, isUp: true },
      mlx5_1: { address: "0000:77:00.0", isUp: true },
      rxe0: { address: null, isUp: true },
    });
    const devices = new RdmaDevices(platform, TREE);
    assert.equal(devices.open("mlx5_0"), devices.open("mlx5_0"));
    const functions = ["mlx5_0", "mlx5_1", "rxe0"].map((name) => devices.open(name).fn?.address);
    assert.deepEqual(functions, [NIC, undefined, undefined]);
    assert.deepEqual(platform.log, ["mlx5_0", "mlx5_1", "rxe0"]);
    assert.throws(() => devices.open("mlx5_9"), {
      ...{ code: "UNKNOWN_DEVICE", device: "mlx5_9", hint: "there is mlx5_0, mlx5_1, rxe0" },
    });
    assert.throws(() => new RdmaDevices(new RdmaPlatform({}), TREE).open("mlx5_9"), {
      ...{ code: "UNKNOWN_DEVICE", hint: /doctor|--machine rdma/ },
    });
  });

  it("may be ones that libibverbs has no driver for, as who opens them says", () => {
    const platform = new RdmaPlatform({ rxe0: { address: null, isUp: true } });
    const why = { device: "mlx5_9", hint: "install the drivers" };
    const error = new P2pError("UNKNOWN_DEVICE", "libibverbs has no driver for mlx5_9", why);
    platform.openRdmaDevice = () => {
      throw error;
    };
    assert.throws(() => new RdmaDevices(platform, TREE).open("mlx5_9"), error);
  });

  it("are chosen by an active port where none is named, and else the first", () => {
    const down = { address: null, isUp: false };
    const up = { address: null, isUp: true };
    const platform = new RdmaPlatform({ a: down, b: up, c: up });
    assert.equal(new RdmaDevices(platform, TREE).open().name, "b");
    assert.deepEqual(platform.log, ["a", "b"], "no more are opened than are looked at");
    const lone = new RdmaDevices(new RdmaPlatform({ a: down, b: down }), TREE).open();
    assert.equal(lone.name, "a");
    assert.throws(() => lone.choosePath(), { code: "PORT_DOWN" });
    assert.throws(() => new RdmaDevices(new RdmaPlatform({}), TREE).open(), {
      ...{ code: "NO_RDMA_DEVICE", hint: /--machine rdma/ },
    });
  });

  it("are opened anew once they were lost, and closed with the others, lost ones too", () => {
    const platform = new RdmaPlatform({ a: { address: null, isUp: true } });
    const told: unknown[] = [];
    const devices = new RdmaDevices(platform, TREE, (device, { code }) => {
      told.push([device, code]);
    });
    const [first, firstFake] = [devices.open("a"), platform.opened!];
    for (let time = 0; time < 2; time++) firstFake.onEvent!(EventType.DEVICE_FATAL, 0, 0);
    assert.deepEqual(told, [[first, "DEVICE_GONE"]], "told once");
    const [second, secondFake] = [devices.open("a"), platform.opened!];
    assert.notEqual(second, first);
    // What the old one still says is not about the new one.
    firstFake.onEvent!(EventType.DEVICE_FATAL, 0, 0);
    assert.equal(devices.open(), second);
    assert.equal(told.length, 1);
    devices.close();
    for (const { log } of [firstFake, secondFake]) assert.deepEqual(log, ["close a"]);
  });

  it("can be closed again where one could not be", () => {
    const platform = new RdmaPlatform({
      a: { address: null, isUp: true },
      b: { address: null, isUp: true },
    });
    const devices = new RdmaDevices(platform, TREE);
    const [fakeA, fakeB] = ["a", "b"].map((name) => {
      devices.open(name).allocateDomain();
      return platform.opened!;
    }) as [FakeRdmaDevice, FakeRdmaDevice];
    const failure = new P2pError("IO", "as asked");
    fakeA.failures.set("close domain", failure);
    assert.throws(() => {
      devices.close();
    }, failure);
    assert.deepEqual(fakeB.log, ["close domain", "close b"]);
    assert.deepEqual(fakeA.log, ["close domain"]);
    fakeA.failures.clear();
    devices.close();
    devices.close();
    assert.deepEqual(fakeA.log, ["close domain", "close domain", "close a"]);
    assert.equal(fakeB.log.length, 2);
  });

  it("are chosen among those that can be opened", () => {
    const broken = { address: null, isUp: true, isBroken: true };
    const [down, up] = [false, true].map((isUp) => ({ address: null, isUp }));
    const open = (devices: Record<string, Facts>): string =>
      new RdmaDevices(new RdmaPlatform(devices), TREE).open().name;
    assert.equal(open({ a: broken, b: up! }), "b");
    assert.equal(open({ a: broken, b: down! }), "b");
    assert.throws(() => open({ a: broken, b: broken }), { code: "PERMISSION", message: /^a is/ });
  });
});
