/** Which memory soft-RoCE registers, through the library: the host's alone. Runs inside the lab only. */
import assert from "node:assert/strict";
import { closeSync, fstatSync } from "node:fs";
import type { Provider } from "#lib/p2pmem/provider.js";
import { Access } from "#lib/rdma/spec.js";
import type { ProtectionDomain } from "#lib/rdma/protection-domain.js";
import type { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { openSession } from "../device/machine.js";

const KIB = 1024;
const ALL = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_READ;
const { NVME_CMB = "", NVME2 = "", CARD = "" } = process.env;

describe("RDMA by the library, on soft-RoCE", () => {
  let session: Session;
  let domain: ProtectionDomain;

  beforeEach(async () => {
    session = await openSession();
    domain = session.rdmaDevice().allocateDomain();
  });
  afterEach(() => session.close());

  it("lists the device, behind which is no PCI function, and opens no other", () => {
    assert.deepEqual(session.rdmaDevices(), [{ name: "rxe0", address: null }]);
    assert.equal(session.rdmaDevice("rxe0"), domain.device);
    assert.throws(() => session.rdmaDevice("mlx5_0"), { code: "UNKNOWN_DEVICE", device: "mlx5_0" });
  });

  it("chooses RoCE v2 over IPv4, and says which port or GID there is not", () => {
    const { gid, mtu, linkLayer } = domain.device.choosePath();
    // 192.0.2.1, as scripts/lab/soft-roce has it, as an IPv4-mapped address.
    assert.equal(Buffer.from(gid).toString("hex"), "00000000000000000000ffffc0000201");
    assert.deepEqual([mtu, linkLayer], [4096, "ethernet"]);
    assert.throws(() => domain.device.choosePath({ gidIndex: 200 }), { code: "NO_GID" });
    assert.throws(() => domain.device.choosePath({ port: 2 }), { code: "NO_PORT" });
  });

  for (const [what, name] of [
    ["a CMB", `${NVME_CMB}/cmb`],
    ["a PMR", `${NVME2}/pmr`],
    ["a card", `${CARD}/bar2`],
  ] as const)
    describe(`and the memory of ${what}`, () => {
      let provider: Provider;

      beforeEach(async () => {
        provider = await session.provider(name);
      });

      it("does not register it: no PCI function could reach it", () => {
        const list = provider.allocScatterlist(64 * KIB);
        assert.throws(() => domain.register(list, ALL), {
          code: "NO_DMABUF",
          device: "rxe0",
          hint: /stage in host memory/,
        });
        provider.freeScatterlist(list);
        assert.equal(provider.pool.available, provider.size);
      });

      it("exports whole pages of it as dma-bufs, which the driver does not import", () => {
        const { size } = provider;
        for (const [offset, length] of [
          [0, 4 * KIB],
          [64 * KIB, 64 * KIB],
          [size - 4 * KIB, 4 * KIB],
          [0, size],
        ] as const) {
          const fd = provider.exportDmabuf(offset, length);
          assert.throws(() => domain.registerDmabuf(fd, 0, length, ALL), {
            code: "NO_DMABUF",
            device: "rxe0",
          });
          closeSync(fd);
        }
        for (const [offset, length] of [
          [1, 4 * KIB],
          [512, 4 * KIB],
          [0, 4 * KIB + 1],
          [0, 512],
          [0, 0],
          [-4 * KIB, 4 * KIB],
          [size, 4 * KIB],
          [0, size + 4 * KIB],
        ] as const)
          assert.throws(
            () => provider.exportDmabuf(offset, length),
            { code: "BAD_RANGE", device: provider.fn.address },
            `${offset}, ${length}`,
          );
      });

      it("exports no more of it once it is revoked; what was exported is a file still", async () => {
        const fd = provider.exportDmabuf(0, 64 * KIB);
        await provider.close();
        assert.throws(() => provider.exportDmabuf(0, 64 * KIB), { code: "REVOKED" });
        assert.ok(fstatSync(fd).size >= 0);
        closeSync(fd);
      });
    });

  it("exports no more of a controller's memory after a reset of the controller", async () => {
    const provider = await session.provider(`${NVME2}/pmr`);
    closeSync(provider.exportDmabuf(0, 4 * KIB));
    await (await session.controller(NVME2)).reset();
    assert.throws(() => provider.exportDmabuf(0, 4 * KIB), { code: "REVOKED" });
  });

  it("registers host memory in as many pieces as a list has", async () => {
    // The kernel gives host memory an address for devices once there is a device.
    await session.controller(NVME2);
    const buffers = [1, 2].map(() => session.addressSpace.allocate(64 * KIB));
    const list = new ScatterList(session.addressSpace);
    for (const buffer of buffers) list.addHost(buffer, 4 * KIB, 8 * KIB).addHost(buffer, 12 * KIB);
    const region = domain.register(list, ALL);
    assert.deepEqual(
      region.pieces.map(({ length }) => length),
      [60 * KIB, 60 * KIB],
    );
    assert.deepEqual([region.target, region.byteLength], ["host", 120 * KIB]);
    assert.throws(() => region.rkey, { code: "TOO_MANY_SEGMENTS" });
    region.close();
    for (const buffer of buffers) buffer.close();
  });
});
