/** `p2pmem rdma devices`, where one of them cannot be asked. */
import assert from "node:assert/strict";
import { reportOf } from "#lib/cli/rdma-devices.js";
import { rdmaDevicesCsv, rdmaDevicesText } from "#lib/cli/output/rdma-devices.js";
import { P2pError } from "#lib/errors.js";
import { RdmaDevice } from "#lib/rdma/device.js";
import type { Session } from "#lib/session.js";
import { ACTIVE, FakeRdmaDevice } from "../../support/fake-rdma.js";

const session = {
  rdmaDevice: (name: string) => {
    if (name === "mlx5_0")
      throw new P2pError("PERMISSION", "uverbs0 is root's", { hint: "ask root" });
    return new RdmaDevice(new FakeRdmaDevice({ name, ports: [ACTIVE] }).native, null);
  },
} as unknown as Session;

describe("a list of RDMA devices", () => {
  const report = (...names: string[]) => ({
    ...{ version: "1", platform: "vfio" as const },
    devices: names.map((name) => reportOf(session, { name, address: null })),
  });

  it("has those that cannot be opened, with the reason, beside the others", () => {
    const all = report("mlx5_0", "rxe0");
    assert.deepEqual(
      all.devices.map(({ name, error, ports }) => [name, error?.code, ports.length]),
      [
        ["mlx5_0", "PERMISSION", 0],
        ["rxe0", undefined, 1],
      ],
    );
    const text = rdmaDevicesText(all);
    assert.match(text, /^device +PCI address .*\nrxe0 /);
    assert.match(text, /\n\nmlx5_0: PERMISSION: uverbs0 is root's\n {2}hint: ask root\n\nrxe0: /);
    const [header, broken, ...rows] = rdmaDevicesCsv(all).trimEnd().split("\r\n");
    assert.match(header!, /,gid_type,error$/);
    assert.match(broken!, /^mlx5_0,+PERMISSION$/);
    assert.equal(rows.length, 1);
  });

  it("is no table where there is no port", () => {
    assert.match(rdmaDevicesText(report("mlx5_0")), /^mlx5_0: PERMISSION: [^\n]+\n {2}hint: .*\n$/);
  });
});
