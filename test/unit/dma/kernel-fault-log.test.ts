import assert from "node:assert/strict";
import { parseFault } from "#lib/dma/kernel-fault-log.js";

describe("IOMMU faults in the kernel's log", () => {
  it("reads an Intel write fault", () => {
    assert.deepEqual(
      parseFault(
        "3,812,5123456,-;DMAR: [DMA Write NO_PASID] Request device [03:00.0] fault addr 0x7f001000 [fault reason 0x05] PTE Write access is not set\n",
      ),
      {
        device: "0000:03:00.0",
        iova: 0x7f001000n,
        write: true,
        reason: "PTE Write access is not set",
      },
    );
  });

  it("reads an Intel read fault of older kernels", () => {
    const fault = parseFault(
      "DMAR: [DMA Read] Request device [0001:03:00.0] PASID ffffffff fault addr 1000 [fault reason 06] PTE Read access is not set".replace(
        "addr 1000",
        "addr 0x1000",
      ),
    );
    assert.deepEqual(fault, {
      device: "0001:03:00.0",
      iova: 0x1000n,
      write: false,
      reason: "PTE Read access is not set",
    });
  });

  it("reads AMD page faults, with the direction from the flags", () => {
    const line =
      "vfio-pci 0000:41:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0021 address=0xfffd0000 flags=0x0020]";
    assert.deepEqual(parseFault(line), {
      device: "0000:41:00.0",
      iova: 0xfffd0000n,
      write: true,
      reason: "IO_PAGE_FAULT flags 0x0020",
    });
    assert.equal(parseFault(line.replace("0x0020]", "0x0000]"))?.write, false);
  });

  it("leaves other lines alone", () => {
    assert.equal(parseFault("6,1,0,-;DMAR: DRHD: handling fault status reg 2"), null);
    assert.equal(parseFault("6,1,0,-;nvme nvme0: pci function 0000:03:00.0"), null);
  });
});
