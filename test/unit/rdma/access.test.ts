import assert from "node:assert/strict";
import { checkRegion, type RegionTarget } from "#lib/rdma/access.js";
import { Access } from "#lib/rdma/spec.js";
import { FAKE_ATTRIBUTES } from "../../support/fake-rdma.js";

const PAGING = { implicit: false, send: true, receive: true, write: true, read: false };

interface Asked {
  target?: RegionTarget;
  length?: number;
  paging?: typeof PAGING | null;
}

function check(
  access: number,
  { target = "host", length = 4096, paging = null }: Asked = {},
): void {
  const attributes = { ...FAKE_ATTRIBUTES, maxRegionBytes: 2n ** 20n, onDemandPaging: paging };
  checkRegion({ name: "fake0", attributes }, target, length, access);
}

describe("What is registered", () => {
  const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, ON_DEMAND, RELAXED_ORDERING } = Access;

  it("may be read and written, by each side as it was allowed to", () => {
    for (const access of [
      ...[0, LOCAL_WRITE, REMOTE_READ, LOCAL_WRITE | REMOTE_WRITE],
      LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ | RELAXED_ORDERING,
    ])
      for (const target of ["host", "peer", "dmabuf", "device"] as const) check(access, { target });
  });

  it("is not written by others alone, nor accessed as nobody knows", () => {
    for (const access of [REMOTE_WRITE, REMOTE_WRITE | REMOTE_READ, 1 << 8, -1, 0.5, NaN])
      assert.throws(
        () => {
          check(access);
        },
        { code: "BAD_ARGUMENT", device: "fake0" },
      );
  });

  it("is paged in on demand where the device can, for what it can", () => {
    check(ON_DEMAND | LOCAL_WRITE | REMOTE_WRITE, { paging: PAGING });
    for (const [access, paging, message] of [
      [ON_DEMAND, null, /no on-demand paging$/],
      [ON_DEMAND | REMOTE_READ, PAGING, /for reads/],
      [ON_DEMAND | LOCAL_WRITE | REMOTE_WRITE, { ...PAGING, write: false }, /for writes/],
    ] as const)
      assert.throws(
        () => {
          check(access, { paging });
        },
        { code: "NO_ODP", message },
      );
    for (const target of ["peer", "dmabuf", "device"] as const)
      assert.throws(
        () => {
          check(ON_DEMAND, { target, paging: PAGING });
        },
        { code: "BAD_ARGUMENT" },
      );
  });

  it("has a byte, and no more than the device takes", () => {
    check(0, { length: 2 ** 20 });
    assert.throws(
      () => {
        check(0, { length: 2 ** 20 + 1 });
      },
      {
        code: "REGION_TOO_LARGE",
        message: "fake0 registers up to 1048576 bytes at once, not 1048577",
        hint: "have smaller messages or fewer queue pairs, or register it in parts",
      },
    );
    for (const length of [0, -1, 1.5, NaN])
      assert.throws(
        () => {
          check(0, { length });
        },
        { code: "BAD_RANGE" },
      );
  });
});
