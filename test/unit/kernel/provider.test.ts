import assert from "node:assert/strict";
import {
  allocateFromKernel,
  findKernelProvider,
  kernelProviders,
  parseKernelProvider,
} from "#lib/kernel/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { FakeHost } from "../../support/fake-host.js";

const ADDRESS = parseBdf("0000:03:00.0");
const OTHER = parseBdf("0000:04:00.0");

describe("p2pmem of the kernel", () => {
  let host: FakeHost;
  let path: string;

  beforeEach(() => {
    host = new FakeHost();
    path = host.pciFunction({ address: ADDRESS, driver: "nvme" });
    host.pciFunction({ address: OTHER, driver: "vfio-pci" });
  });
  afterEach(() => {
    host.destroy();
  });

  const offer = (files: Record<string, string>): void => {
    for (const [name, text] of Object.entries(files)) host.file(`${path}/p2pmem/${name}`, text);
  };
  const refusal = (size = 4096, device = ADDRESS): object => {
    try {
      allocateFromKernel(host, host.pci(), device, size);
    } catch (error) {
      const { code, message, hint } = error as { code: string; message: string; hint: string };
      return { code, text: `${message}; ${hint}` };
    }
    return {};
  };
  const assertRefused = (code: string, text: RegExp, size?: number, device = ADDRESS): void => {
    const refused = refusal(size, device) as { code: string; text: string };
    assert.equal(refused.code, code);
    assert.match(refused.text, text);
  };

  it("is named by its device, as its CMB or alone", () => {
    assert.equal(parseKernelProvider("03:00.0"), ADDRESS);
    assert.equal(parseKernelProvider("0000:03:00.0/cmb"), ADDRESS);
    assert.throws(() => parseKernelProvider("03:00.0/bar2"), { code: "KERNEL_P2PMEM" });
  });

  it("says what is missing of it, one after the other", () => {
    assertRefused("KERNEL_P2PMEM", /has no p2pmem.*its driver is vfio-pci.*unbind/, 4096, OTHER);
    assertRefused("KERNEL_P2PMEM", /has no p2pmem.*no CMB.*CONFIG_PCI_P2PDMA/);
    offer({ size: "8192\n", available: "8192\n", published: "0\n" });
    assertRefused("KERNEL_P2PMEM", /is not published/);
    offer({ published: "1\n" });
    assertRefused("KERNEL_P2PMEM", /Linux 6.2 and later.*this is 7.1.0-test/);
    offer({ allocate: "" });
    assertRefused("NO_ROOM", /8 KiB of p2pmem left, too little for 12 KiB/, 12288);
  });

  it("is found where it is published", () => {
    const find = (): string => findKernelProvider(host, host.pci(), [host.pci().get(ADDRESS)]);
    assert.throws(find, { code: "KERNEL_P2PMEM", message: /no kernel driver has published/ });
    offer({ size: "8192\n", available: "8192\n", published: "1\n" });
    assert.deepEqual(
      kernelProviders(host, host.pci()).map(({ address }) => address),
      [ADDRESS],
    );
    // Of the function's ports no ACS registers are to be read here.
    assert.throws(find, {
      code: "KERNEL_P2PMEM",
      message: /of 0000:03:00.0 is not reached by all/,
    });
  });
});
