import assert from "node:assert/strict";
import type { NativeRdmaGid, NativeRdmaPort } from "#lib/rdma-addon.js";
import { choosePath } from "#lib/rdma/path.js";
import { ACTIVE } from "../../support/fake-rdma.js";

const DOWN: NativeRdmaPort = { ...ACTIVE, state: 1 };

function gid(index: number, type: NativeRdmaGid["type"], text: string): NativeRdmaGid {
  return { index, type, gid: Uint8Array.from(Buffer.from(text, "hex")) };
}

const LINK_LOCAL = "fe800000000000000200c0fffe000201";
const IPV6 = "20010db8000000000000000000000001";
const IPV4 = "00000000000000000000ffffc0000201";

function ports(list: readonly NativeRdmaPort[], gids: readonly NativeRdmaGid[] = []) {
  return {
    ...{ name: "mlx5_0", count: list.length, gids: () => [...gids] },
    port: (number: number) => list[number - 1]!,
  };
}

const ONE = [gid(0, "rocev2", IPV4)];

describe("The path of a connection", () => {
  it("is by the first port that is active", () => {
    const path = choosePath(ports([DOWN, { ...ACTIVE, mtu: 4096, lid: 7 }, ACTIVE], ONE));
    assert.deepEqual(path, {
      ...{ port: 2, gidIndex: 0, gid: ONE[0]!.gid, lid: 7, mtu: 4096, linkLayer: "ethernet" },
    });
  });

  it("is by the port that was asked for", () => {
    assert.equal(choosePath(ports([ACTIVE, ACTIVE], ONE), { port: 2 }).port, 2);
  });

  it("is none without a link", () => {
    for (const [list, options, message] of [
      [[DOWN], {}, "port 1 of mlx5_0 is not active"],
      [[DOWN, DOWN], {}, "all ports of mlx5_0 are not active"],
      [[ACTIVE, { ...ACTIVE, state: 2 }], { port: 2 }, "port 2 of mlx5_0 is not active"],
    ] as const)
      assert.throws(() => choosePath(ports(list, ONE), options), {
        ...{ code: "PORT_DOWN", device: "mlx5_0", message },
      });
  });

  it("is by no port that the device has not, and says which it has", () => {
    for (const [list, port, hint] of [
      [[ACTIVE], 2, "it has port 1 alone"],
      [[ACTIVE, ACTIVE], 3, "it has ports 1 to 2"],
      [[ACTIVE, ACTIVE], 0, "it has ports 1 to 2"],
    ] as const)
      assert.throws(() => choosePath(ports(list, ONE), { port }), {
        ...{ code: "NO_PORT", device: "mlx5_0", message: `mlx5_0 has no port ${port}`, hint },
      });
  });

  it("has the GID that most others reach: RoCE v2 and IPv4 before all", () => {
    const best = [
      gid(5, "rocev2", IPV4),
      gid(3, "rocev2", IPV6),
      gid(1, "rocev2", LINK_LOCAL),
      gid(4, "rocev1", IPV4),
      gid(2, "rocev1", IPV6),
      gid(0, "rocev1", LINK_LOCAL),
    ];
    for (let i = 0; i < best.length; i++) {
      const left = best.slice(i);
      for (const gids of [left, [...left].reverse()])
        assert.equal(choosePath(ports([ACTIVE], gids)).gidIndex, best[i]!.index);
    }
  });

  it("has the first of equal GIDs, which is the port's own on InfiniBand", () => {
    const gids = [gid(0, "infiniband", LINK_LOCAL), gid(1, "infiniband", IPV6)];
    const infiniband: NativeRdmaPort = { ...ACTIVE, linkLayer: "infiniband", lid: 3 };
    const { gidIndex, linkLayer } = choosePath(ports([infiniband], gids));
    assert.deepEqual([gidIndex, linkLayer], [0, "infiniband"]);
  });

  it("has the GID that was asked for, if there is such", () => {
    const gids = [gid(0, "rocev1", LINK_LOCAL), gid(3, "rocev2", IPV4)];
    assert.equal(choosePath(ports([ACTIVE], gids), { gidIndex: 0 }).gidIndex, 0);
    assert.throws(() => choosePath(ports([ACTIVE], gids), { gidIndex: 1 }), {
      ...{ code: "NO_GID", message: /no GID 1$/, hint: "it has 0, 3" },
    });
    assert.throws(() => choosePath(ports([ACTIVE])), { code: "NO_GID", hint: /ip addr add/ });
  });
});
