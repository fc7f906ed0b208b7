/**
 * The typed face of the C++ addon, and the only file that loads it. Every call that fails throws a
 * {@link P2pError}. Addresses and IOVAs are `bigint` here, at the native edge; lengths and offsets
 * are safe integers in bytes.
 */
import { fileURLToPath } from "node:url";
import bindings from "bindings";
import { P2pError } from "./errors.js";
import type { NativeCompletionQueue, NativeQueuePair, NativeRdmaDevice } from "./rdma-addon.js";

/**
 * Memory that this process can address: pinned host pages, or a mapped part of a BAR. It exists
 * until every environment that opened it and every address space that maps it has let go.
 */
export interface NativeMemory {
  /** Number by which another thread opens the same memory with {@link NativeAddon.openMemory}. */
  readonly id: number;
  /** Bytes. */
  readonly size: number;
  readonly kind: "host" | "device";
  /** Bytes in a page of the backing store (4096, or 2 MiB for hugepages). */
  readonly pageSize: number;
  /**
   * A view of all of it, the same one each time; detached by close(). For device memory only
   * aligned 32-bit stores are allowed through it, never reads, `set`, `fill` or `Atomics`.
   */
  readonly buffer: ArrayBuffer;
  /**
   * Device memory only: an access has found nobody there (memory decode off, removed). From then on
   * it reads as ones and drops what is written, until {@link NativeDevice.restore}.
   */
  readonly isGone: boolean;
  /** Detaches this environment's buffer and lets go. Idempotent. */
  close(): void;
}

export interface NativeRegion {
  readonly index: number;
  /** Bytes; 0 where the BAR is not implemented. */
  readonly size: number;
  /** The parts that may be mapped. */
  readonly mappable: readonly { offset: number; length: number }[];
  /**
   * One register access of exactly this width, naturally aligned. In a BAR of a device that is gone
   * reads give ones and writes are dropped, as with hardware. Errors, in configuration space:
   * DEVICE_GONE, IO.
   */
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  read64(offset: number): bigint;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  write64(offset: number, value: bigint): void;
  /** Maps part of the region into this process. Errors: NOT_MAPPABLE, BAD_RANGE. */
  map(offset: number, length: number): NativeMemory;
}

/** The region that is a device's configuration space (linux/vfio.h, VFIO_PCI_CONFIG_REGION_INDEX). */
export const CONFIG_REGION = 7;

export interface NativeDevice {
  /** PCI address, `0000:03:00.0`. */
  readonly address: string;
  readonly resettable: boolean;
  readonly msixVectors: number;
  /** 0 to 5: BARs; 6: ROM; 7: configuration space. */
  region(index: number): NativeRegion;
  /** Errors: DEVICE_GONE, IO. */
  setBusMaster(on: boolean): void;
  reset(): void;
  /**
   * Once the device is back: all its mapped memory that is gone shows it again, at the same
   * addresses, in all threads. What the device held may be lost. Errors: DEVICE_GONE while it is not
   * back, or if it goes again meanwhile.
   */
  restore(): void;
  /**
   * Part of a BAR, in whole pages, as a dma-buf that other devices' drivers may import: its file
   * descriptor, which the caller closes. Revoked when the device is reset, stops decoding, or is closed.
   * Errors: NO_DMABUF, BAD_RANGE, NOT_MAPPABLE (registers, interrupt vectors), DEVICE_GONE, IO.
   */
  exportDmabuf(region: number, offset: number, length: number): number;
  /**
   * Calls `handler` with the number of interrupts since its last call, on this environment's event
   * loop, for each MSI-X interrupt on `vector`; null takes the handler away. Waiting for one does not
   * keep the process alive.
   */
  onInterrupt(vector: number, handler: ((count: number) => void) | null): void;
  /**
   * Calls `handler` when the device has reported an uncorrectable error; null takes it away. Waiting
   * for that does not keep the process alive. Errors: UNSUPPORTED, where the kernel hears of none (of
   * conventional PCI, before Linux 6.17).
   */
  onError(handler: (() => void) | null): void;
  /**
   * Calls `handler` when the kernel wants the device back (unbind, hot-unplug), and again every some
   * seconds until the device and all its memory are closed, for which the kernel waits.
   */
  onRequest(handler: (() => void) | null): void;
  /** Interrupts off, then lets go of the device. Idempotent. */
  close(): void;
}

export interface NativeAddressSpaceInfo {
  /** Usable IOVAs, inclusive ends. */
  ranges: { first: bigint; last: bigint }[];
  /** Bit n set: pages of 2**n bytes. */
  pageSizes: bigint;
  /** How many more mappings the kernel allows; null where it does not say. */
  mappingsAvailable: number | null;
}

export interface NativeDmaFault {
  /** PCI address of the requester. */
  device: string;
  iova: bigint;
  /** True where the device wanted to write. */
  write: boolean;
  reason: string;
}

export interface NativeAddressSpace {
  /** Number by which another thread opens it: {@link NativeAddon.openRegistrar}. */
  readonly id: number;
  openDevice(address: string): NativeDevice;
  /** Errors: NO_DEVICE before a first device is open. */
  info(): NativeAddressSpaceInfo;
  /**
   * `access`: what the device may do. Errors: IOVA_IN_USE, IOVA_RANGE, MEMLOCK, MAPPING_LIMIT;
   * DEVICE_GONE, for a BAR.
   */
  map(
    memory: NativeMemory,
    offset: number,
    length: number,
    iova: bigint,
    access: { read: boolean; write: boolean },
  ): void;
  /** Undoes one map() exactly; afterwards no device reaches that memory by it. */
  unmap(iova: bigint, length: number): void;
  /** The faults since the last call; null where only the kernel's log has them. */
  takeFaults(): NativeDmaFault[] | null;
  /** Unmaps everything, then lets go. Devices must be closed before. Idempotent. */
  close(): void;
}

/** Maps parts of one memory in an address space, for a thread that does so for each I/O. */
export interface NativeRegistrar {
  /** `offset`, `length`, `iova`: whole pages, in bytes. Errors: those of NativeAddressSpace.map(). */
  map(offset: number, length: number, iova: number): void;
  /** Undoes one map() exactly. */
  unmap(iova: number, length: number): void;
  /** Lets go, and unmaps nothing: what is still mapped is its owner's. Idempotent. */
  close(): void;
}

/** A PCI function as the loopback machine shows it, in the form of sysfs. */
export interface NativePciFunction {
  /** `0000:03:00.0` */
  address: string;
  /** Address of the bridge above; null on a root bus. */
  parent: string | null;
  /** Configuration space, 64 to 4096 bytes, as much as could be read. */
  config: Uint8Array;
  /** BAR 0 to 5, then ROM, then (bridges) the windows: bus address, bytes, kernel resource flags. */
  resources: { start: bigint; size: bigint; flags: bigint }[];
  /** Name of the driver that is bound; null if none. */
  driver: string | null;
  iommuGroup: number | null;
  numaNode: number | null;
}

/** Bytes since the last reset, as the loopback machine's fabric counted them. */
export interface NativeTraffic {
  /** Payload bytes that were read from or written to host memory, by devices or for them. */
  hostMemoryBytes: number;
  /** Queue entries, PRP lists, completions and interrupts to or from host memory. */
  hostControlBytes: number;
  /** Payload bytes that crossed the root complex; a byte that goes up and comes down counts once. */
  rootComplexBytes: number;
  /** Payload and control bytes for each link, named by the PCI address of its lower end. */
  links: {
    address: string;
    upBytes: number;
    downBytes: number;
    upControlBytes: number;
    downControlBytes: number;
  }[];
  /** CPU time of the thread that is all its devices, since the machine was made: no reset ends it. */
  deviceCpuNs: number;
}

/**
 * What a loopback device does wrong: exactly one of `effect`, `delay`, `status` and `event`
 * (docs/machine-file.md, "Faults").
 */
export interface NativeFault {
  /**
   * The commands that it is about; `now` is for what befalls the device itself, and for devices
   * without commands. Default: `any`.
   */
  on?:
    | "read"
    | "write"
    | "flush"
    | "compare"
    | "copy"
    | "identify"
    | "abort"
    | "create"
    | "delete"
    | "admin"
    | "io"
    | "any"
    | "packet"
    | "now";
  /** How many such commands pass before. Default: 0. */
  after?: number;
  /** How many it meets then. Default: 1. */
  count?: number;
  effect?:
    | "hang"
    | "drop-dma"
    | "wrong-cid"
    | "duplicate"
    | "bad-sq-head"
    | "bad-phase"
    | "fatal"
    | "no-disable"
    | "no-reset"
    | "remove"
    | "vanish"
    | "error"
    | "request"
    | "lose"
    | "corrupt"
    | "link-down"
    | "link-up";
  /** Milliseconds by which the command comes late. */
  delay?: number;
  /** Status code type and status code that the command fails with. */
  status?: number[];
  /** Do Not Retry, with `status`. Default: false. */
  dnr?: boolean;
  /** Type, information and log page of an asynchronous event; the command itself is carried out. */
  event?: number[];
  /** With `hang`: whether Abort ends it. Default: true. */
  abort?: boolean;
}

/** What a loopback NIC counts, as drivers show it in sysfs (`hw_counters`). */
export interface NativeRdmaCounters {
  /** By faults, links that are down, and unknown destinations. */
  lostPackets: number;
  /** They arrived with a wrong CRC. */
  damagedPackets: number;
  retransmissions: number;
  timeouts: number;
  /** NAKs of packets out of sequence that were received. */
  sequenceErrors: number;
  /** Receiver not ready: NAKs that were received. */
  rnrNaks: number;
  /** Pages that regions on demand got, and those they lost by invalidation. */
  pageFaults: number;
  invalidatedPages: number;
}

/** A PCI machine in a box (see lib/platform/machine-schema.ts for the configuration). */
export interface NativeLoopbackMachine {
  functions(): NativePciFunction[];
  openAddressSpace(): NativeAddressSpace;
  traffic(): NativeTraffic;
  resetTraffic(): void;
  /** Has a device do wrong, on top of what it was told before. Errors: UNKNOWN_DEVICE, BAD_MACHINE. */
  inject(address: string, fault: NativeFault): void;
  /** Takes back what has not happened yet. Errors: UNKNOWN_DEVICE. */
  clearFaults(address: string): void;
  /**
   * Puts in again what was removed: power-on state, with its media and its PMR as they were. Errors:
   * UNKNOWN_DEVICE; IN_USE while what was there is still open.
   */
  replug(address: string): void;
  /** Its NICs: names as RDMA devices, and PCI addresses. */
  rdmaDevices(): { name: string; address: string }[];
  /** Errors: UNKNOWN_DEVICE, DEVICE_GONE, NO_MEMORY, IO. */
  openRdmaDevice(name: string): NativeRdmaDevice;
  /** What a NIC has counted since it was made. Errors: UNKNOWN_DEVICE. */
  rdmaCounters(name: string): NativeRdmaCounters;
  /**
   * The kernel is about to change the pages of a part of host memory: regions on demand lose them, and
   * transfers that need them wait until invalidateEnd() of the same part.
   */
  invalidateStart(memory: NativeMemory, offset: number, length: number): void;
  /** Errors: BAD_RANGE, where no such invalidation has begun. */
  invalidateEnd(memory: NativeMemory, offset: number, length: number): void;
  /** Stops its threads. Address spaces and devices must be closed before. Idempotent. */
  close(): void;
}

/** An io_uring of the kernel, of the calling thread alone (io_uring(7)). */
export interface NativeIoRing {
  /** Entries of the two rings, and the byte offsets in rings() of their words. */
  readonly layout: {
    sqEntries: number;
    sqTail: number;
    /** Which submission entry is where in the ring. */
    sqArray: number;
    cqEntries: number;
    cqHead: number;
    cqTail: number;
    cqes: number;
  };
  /** The memory of both rings; the caller closes it. */
  rings(): NativeMemory;
  /** The submission entries, 64 bytes each; the caller closes it. */
  entries(): NativeMemory;
  /** Keeps memory that requests name until none is in flight any more, and gives its address. */
  hold(memory: NativeMemory): number;
  /** Requests may then name these files by their index. Errors: IO. */
  registerFiles(files: readonly number[]): void;
  /**
   * Pins `count` pieces of `stride` bytes each, from the memory's begin on: requests may then name them
   * by their index. Errors: NOT_REGISTERED, of memory that the kernel does not pin for long.
   */
  registerBuffers(memory: NativeMemory, stride: number, count: number): void;
  /**
   * Hands over so many requests, then waits until `complete` completions are there, or `timeoutNs` are
   * over; negative: no limit. How many were handed over, or the errno, negated; that the time is
   * over is no error.
   */
  readonly enter: (submit: number, complete: number, timeoutNs: number) => number;
  /** Waits until nothing is in flight, then lets go. Idempotent. */
  close(): void;
}

export interface NativeAddon {
  /** One VFIO type1 container. Errors: NO_VFIO, PERMISSION. */
  openVfioAddressSpace(): NativeAddressSpace;
  /** Errors: BAD_MACHINE, NO_MEMORY, IO (a namespace's file). */
  createLoopbackMachine(configuration: unknown): NativeLoopbackMachine;
  /** Prefaulted, zeroed host memory; `huge` asks for 2 MiB pages and falls back. */
  allocatePinned(size: number, huge: boolean): NativeMemory;
  /**
   * Peer memory of a PCI function whose kernel driver offers it (sysfs `p2pmem/allocate`); `size`: whole
   * pages. Errors: KERNEL_P2PMEM, NO_ROOM, PERMISSION.
   */
  allocateKernelP2pmem(address: string, size: number): NativeMemory;
  /** Errors: NO_IO_URING, MEMLOCK, NO_MEMORY. */
  createIoRing(entries: number): NativeIoRing;
  /** Opens memory of another environment by its id. Errors: GONE. */
  openMemory(id: number): NativeMemory;
  /** Of an address space and memory of another environment, by their ids. Errors: GONE. */
  openRegistrar(addressSpaceId: number, memoryId: number): NativeRegistrar;
  /** Names of the kernel's RDMA devices, for libibverbs. Errors: NO_VERBS (it is not installed). */
  verbsDevices(): string[];
  /** Errors: NO_VERBS, UNKNOWN_DEVICE, PERMISSION. */
  openVerbsDevice(name: string): NativeRdmaDevice;
  /** Opens an RDMA device of another environment by its id. Errors: GONE. */
  openRdmaDevice(id: number): NativeRdmaDevice;
  /** Opens a completion queue of another environment by its id. Errors: GONE. */
  openCompletionQueue(id: number): NativeCompletionQueue;
  /** Opens a queue pair of another environment by its id. Errors: GONE. */
  openQueuePair(id: number): NativeQueuePair;
  /**
   * A CPU copy, in aligned 64-bit accesses where one side is device memory. Errors: DEVICE_GONE, if
   * that side vanished before the end.
   */
  copy(
    to: NativeMemory,
    toOffset: number,
    from: NativeMemory,
    fromOffset: number,
    length: number,
  ): void;
  /** Offset of the first difference, or -1. Errors: DEVICE_GONE. */
  compare(
    a: NativeMemory,
    aOffset: number,
    b: NativeMemory,
    bOffset: number,
    length: number,
  ): number;
  /**
   * CRC-32C of host memory, never of a BAR; `portable`: by tables, though the processor has an
   * instruction for it. Errors: TypeError.
   */
  crc32c(bytes: Uint8Array, portable?: boolean): number;
  /**
   * Takes the lock of an open file, and does not wait for it: flock(2). Closing the file, or the end of
   * the process, gives it back. False: another open file has it. Errors: IO.
   */
  lockFile(fd: number): boolean;
  /**
   * One 32-bit load: pushes posted writes ahead of it to the device (PCIe base §2.4.1). Errors:
   * DEVICE_GONE.
   */
  read32(memory: NativeMemory, offset: number): number;
  /** Lets another thread have this processor, if one is waiting for it: sched_yield(2). */
  yieldProcessor(): void;
  /** The processors that the calling thread may run on, ascending: sched_getaffinity(2). */
  threadAffinity(): number[];
  /**
   * Lets the calling thread run on these alone: sched_setaffinity(2). Errors: BAD_ARGUMENT, where it
   * may run on none of them.
   */
  setThreadAffinity(cpus: readonly number[]): void;
  /** CPU time of the calling thread, nanoseconds. */
  threadCpuTime(): { user: number; system: number };
}

let loaded: NativeAddon | undefined;

/** Loads the addon on first use. Errors: ADDON_MISSING, with the reason and what to run. */
export function addon(): NativeAddon {
  return (loaded ??= load());
}

function load(): NativeAddon {
  if (process.platform !== "linux")
    throw new P2pError("ADDON_MISSING", `p2pmem runs on Linux only, not on ${process.platform}`);
  if ("electron" in process.versions)
    throw new P2pError("ADDON_MISSING", "Electron forbids the external ArrayBuffers p2pmem needs", {
      hint: "run p2pmem in Node.js, in a process of its own",
    });
  try {
    const native = bindings({
      bindings: "p2pmem",
      module_root: fileURLToPath(new URL("..", import.meta.url)),
    }) as {
      setErrorClass(make: typeof makeError): void;
    } & NativeAddon;
    native.setErrorClass(makeError);
    return native;
  } catch (cause) {
    if (cause instanceof P2pError) throw cause;
    // The bindings package lists every place where it looked.
    const isMissing = cause instanceof Error && "tries" in cause;
    const reason = isMissing ? "it has not been built" : String(cause).split("\n")[0];
    throw new P2pError("ADDON_MISSING", `the native addon p2pmem.node did not load: ${reason}`, {
      hint: "run `npm rebuild p2pmem` (in a checkout: `npm run build`); it needs make, python3 and a C++20 compiler",
      cause,
    });
  }
}

function makeError(
  code: string,
  message: string,
  errno: number,
  syscall: string,
  device: string,
  hint: string,
): P2pError {
  return new P2pError(code, message, {
    ...(errno === 0 ? {} : { errno }),
    ...(syscall === "" ? {} : { syscall }),
    ...(device === "" ? {} : { device }),
    ...(hint === "" ? {} : { hint }),
  });
}
