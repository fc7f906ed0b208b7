/** What soft-RoCE and the kernel refuse, with what to do instead. Runs inside the lab only. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { addon, type NativeAddressSpace, type NativeDevice } from "#lib/addon.js";
import type { NativeProtectionDomain } from "#lib/rdma-addon.js";
import { ACCESS, ALL_ACCESS, openRdmaMachine, type RdmaMachine } from "../rdma/machine.js";

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
