import type { NativeAddressSpace, NativeDevice } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import type { Platform, RawPciFunction, RawTopology } from "#lib/platform.js";
import { fakeTopology } from "./fake-pci.js";

/** Records what is mapped, in place of an IOMMU. */
export class FakePlatform implements Platform {
  readonly kind = "loopback";
  readonly description = "a fake";
  /** Length of each mapping by IOVA. */
  readonly mapped = new Map<bigint, number>();
  /** Code of the error that the next map, unmap or info fails with. */
  failNext: string | null = null;
  /** The devices that are open. */
  readonly devices = new Set<string>();
  readonly #functions: RawPciFunction[];

  constructor(functions: RawPciFunction[]) {
    this.#functions = functions;
  }

  topology(): RawTopology {
    return fakeTopology(this.#functions);
  }

  openAddressSpace(): NativeAddressSpace {
    return {
      id: 1,
      openDevice: (address) => {
        this.devices.add(address);
        const close = (): void => {
          this.devices.delete(address);
        };
        return { address, close } as unknown as NativeDevice;
      },
      info: () => {
        this.#failIfAsked();
        return {
          ranges: [{ first: 0n, last: 2n ** 39n - 1n }],
          pageSizes: 4096n,
          mappingsAvailable: null,
        };
      },
      map: (_memory, _offset, length, iova) => {
        this.#failIfAsked();
        this.mapped.set(iova, length);
      },
      unmap: (iova, length) => {
        this.#failIfAsked();
        if (this.mapped.get(iova) !== length) throw new P2pError("NOT_MAPPED", "not mapped");
        this.mapped.delete(iova);
      },
      takeFaults: () => [],
      close: () => {
        this.mapped.clear();
      },
    };
  }

  rdmaDevices(): never[] {
    return [];
  }

  openRdmaDevice(name: string): never {
    throw new P2pError("UNKNOWN_DEVICE", `there is no RDMA device ${name}`);
  }

  traffic(): null {
    return null;
  }

  close(): void {
    // nothing to let go of
  }

  #failIfAsked(): void {
    const code = this.failNext;
    this.failNext = null;
    if (code !== null) throw new P2pError(code, "as asked");
  }
}
