import assert from "node:assert/strict";
import { nicRanges } from "#lib/nic-memory.js";
import { RdmaDevice } from "#lib/rdma/device.js";
import { FakeRdmaDevice } from "../../support/fake-rdma.js";

function nic(deviceMemoryBytes: number, deviceMemoryForPeers = true) {
  const fake = new FakeRdmaDevice({
    ...{ name: "mlx5_0", attributes: { deviceMemoryBytes, deviceMemoryForPeers } },
  });
  return { device: new RdmaDevice(fake.native, null), log: fake.log };
}

describe("The memory on a NIC", () => {
  it("is all of its whole pages, and asking for it takes none", () => {
    const { device, log } = nic(3 * 4096 + 100);
    assert.deepEqual(nicRanges(device, "all"), [
      { kind: "dm", label: "dm", bar: null, offset: 0, size: 3 * 4096, abilities: null },
    ]);
    assert.deepEqual(log, []);
    for (const bytes of [0, 4095]) assert.deepEqual(nicRanges(nic(bytes).device, "dm"), []);
  });

  it("that other devices cannot be let at is none, and why hears who names it", () => {
    const { device } = nic(262144, false);
    for (const wanted of ["all", "bar2", null] as const)
      assert.deepEqual(nicRanges(device, wanted), []);
    assert.throws(() => nicRanges(device, "dm"), {
      ...{ code: "NO_PROVIDER", device: "mlx5_0", message: /mlx5_0 is out of .* VFIO/ },
      hint: /CMB/,
    });
  });
});
