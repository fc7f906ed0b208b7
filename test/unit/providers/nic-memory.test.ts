import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { nicRanges } from "#lib/nic-memory.js";
import type { RdmaDevice } from "#lib/rdma/device.js";

/** A NIC with so many bytes, of which allocating a page fails with `code`. */
function nic(deviceMemoryBytes: number, code: string | null = null): RdmaDevice {
  const allocateMemory = () => {
    if (code !== null) throw new P2pError(code, "out of reach", { hint: "a hint" });
    return { close: () => undefined };
  };
  return { name: "mlx5_0", attributes: { deviceMemoryBytes }, native: { allocateMemory } } as never;
}

describe("The memory on a NIC", () => {
  it("is all of its whole pages, also while they are in use", () => {
    for (const code of [null, "NO_ROOM"])
      assert.deepEqual(nicRanges(nic(3 * 4096 + 100, code), "all"), [
        { kind: "dm", label: "dm", bar: null, offset: 0, size: 3 * 4096, abilities: null },
      ]);
    for (const bytes of [0, 4095]) assert.deepEqual(nicRanges(nic(bytes), "dm"), []);
  });

  it("that other devices cannot be let at is none, and why hears who names it", () => {
    for (const wanted of ["all", "bar2", null] as const)
      assert.deepEqual(nicRanges(nic(262144, "UNSUPPORTED"), wanted), []);
    assert.throws(() => nicRanges(nic(262144, "UNSUPPORTED"), "dm"), {
      ...{ code: "NO_PROVIDER", message: "out of reach", hint: "a hint", device: "mlx5_0" },
    });
  });

  it("of one that has failed is an error", () => {
    assert.throws(() => nicRanges(nic(4096, "DEVICE_GONE"), "all"), { code: "DEVICE_GONE" });
  });
});
