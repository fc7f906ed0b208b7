/** What soft-RoCE and the kernel refuse, with what to do instead. Runs inside the lab only. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { addon, type NativeAddressSpace, type NativeDevice } from "#lib/addon.js";
import type { NativeProtectionDomain } from "#lib/rdma-addon.js";
import { ACCESS, ALL_ACCESS, gidOf, openRdmaMachine, type RdmaMachine } from "../rdma/machine.js";

const ADDON = new URL("../../dist/addon.js", import.meta.url).href;

/** Runs a program as a user without privileges, with a limit of locked memory; what it printed. */
function asNobody(limitKib: number, program: string): string {
  const code = `import { addon } from ${JSON.stringify(ADDON)};\n${program}`;
  const { stdout, stderr, status } = spawnSync(
    "setpriv",
    [
      ...["--reuid=nobody", "--clear-groups", "env", "HOME=/"],
      ...["sh", "-c", `ulimit -l ${limitKib}; exec "$@"`, "sh"],
      ...[process.execPath, "--input-type=module", "--eval", code],
    ],
    { encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

describe("RDMA by libibverbs in the lab", () => {
  let machine: RdmaMachine;

  before(() => {
    machine = openRdmaMachine();
  });
  after(() => {
    machine.close();
  });

  it("lists the devices, and knows no others", () => {
    assert.deepEqual(addon().verbsDevices(), ["rxe0"]);
    assert.throws(() => addon().openVerbsDevice("mlx5_0"), {
      code: "UNKNOWN_DEVICE",
      device: "mlx5_0",
    });
  });

  describe("and a BAR that VFIO owns", () => {
    let space: NativeAddressSpace;
    let card: NativeDevice;
    let domain: NativeProtectionDomain;

    before(() => {
      space = addon().openVfioAddressSpace();
      card = space.openDevice(process.env.CARD!);
      domain = machine.device.allocateDomain();
    });
    after(() => {
      domain.close();
      card.close();
      space.close();
    });

    it("does not register its mapping, neither pinned nor on demand", () => {
      const memory = card.region(2).map(0, 65536);
      try {
        for (const access of [ALL_ACCESS, ALL_ACCESS | ACCESS.onDemand])
          assert.throws(() => domain.registerHost(memory, 0, 65536, access), {
            code: "NOT_REGISTERED",
            hint: /dma-buf.*host memory/,
          });
      } finally {
        memory.close();
      }
    });

    it("does not register its dma-buf with soft-RoCE, which imports none", () => {
      const fd = card.exportDmabuf(2, 0, 65536);
      try {
        assert.throws(() => domain.registerDmabuf(fd, 0, 65536, 0n, ALL_ACCESS, null), {
          code: "NO_DMABUF",
          device: "rxe0",
          hint: /host memory/,
        });
      } finally {
        closeSync(fd);
      }
    });
  });

  it("hears of a port that goes down and comes back, and connects nothing meanwhile", async () => {
    const { device } = machine;
    /** IBV_EVENT_PORT_ACTIVE, IBV_EVENT_PORT_ERR; ibv_port_state. */
    const [up, down, isDown] = [9, 10, 1];
    const heard: number[] = [];
    let check = (): void => undefined;
    device.onEvent((type, _queuePair, port) => {
      if (port === 1) heard.push(type);
      check();
    });
    const until = (type: number): Promise<void> =>
      new Promise((resolve, reject) => {
        // A handler keeps no process alive: here the timer does.
        const late = setTimeout(() => {
          reject(new Error(`no event ${type}, but ${heard.join(", ")}`));
        }, 20_000);
        check = () => {
          if (!heard.includes(type)) return;
          clearTimeout(late);
          resolve();
        };
        check();
      });
    const domain = device.allocateDomain();
    const queue = device.createCompletionQueue(16, false);
    const pair = domain.createQueuePair(queue, queue, { sends: 1, receives: 1 });
    pair.initialize({ port: 1 });
    const { index, gid } = gidOf(device, 1);
    const set = (state: string): void => {
      assert.equal(spawnSync("ip", ["link", "set", "dummy0", state]).status, 0);
    };
    set("down");
    try {
      await until(down);
      assert.equal(device.port(1).state, isDown);
      const remote = { number: pair.number, psn: 0, lid: 0, gid };
      assert.throws(
        () => {
          pair.connect({ port: 1, gidIndex: index }, remote);
        },
        { code: "PORT_DOWN", device: "rxe0", hint: /interface up/ },
      );
    } finally {
      set("up");
    }
    await until(up);
    assert.equal(device.port(1).state, 4);
    device.onEvent(null);
    for (const object of [pair, queue, domain]) object.close();
  });

  it("names the limit of locked memory that stands in the way", () => {
    const printed = asNobody(
      64,
      `const device = addon().openVerbsDevice("rxe0");
       const domain = device.allocateDomain();
       const memory = addon().allocatePinned(2 ** 20, false);
       domain.registerHost(memory, 0, 4096, 1).close();
       try { domain.registerHost(memory, 0, 2 ** 20, 1); } catch (error) {
         console.log(error.code, /ulimit -l/.test(error.hint)); }`,
    );
    assert.equal(printed, "MEMLOCK true");
  });
});
