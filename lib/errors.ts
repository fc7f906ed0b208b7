/** What an error of this package carries beside its message. */
export interface P2pErrorDetails {
  /** The errno of a refused system call. */
  errno?: number;
  /** The system call that was refused, such as `ioctl(VFIO_IOMMU_MAP_DMA)`. */
  syscall?: string;
  /** PCI address of the device concerned, or the name of an RDMA device. */
  device?: string;
  /** What to do about it. */
  hint?: string;
  /** The parameter at fault, by its name in job files: `bs`. */
  parameter?: string;
  /** The line with the mistake, and below it one with a caret. */
  excerpt?: string;
  cause?: unknown;
}

/** Mistakes in what the user typed: the command line exits with 2 for these, else with 1. */
const USAGE_CODES = new Set([
  "BAD_ARGUMENT",
  "BAD_CAPTURE",
  "BAD_ENDPOINT",
  "BAD_EXPRESSION",
  "BAD_JOB_FILE",
  "BAD_MACHINE_FILE",
  "BAD_REPORT",
  "BAD_SIZE",
  "BAD_USER",
  "TOO_MANY_POINTS",
]);

/**
 * Every failure that p2pmem reports. `code` is stable and meant for programs; `message` is one line.
 */
export class P2pError extends Error {
  readonly code: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly device?: string;
  readonly hint?: string;
  readonly parameter?: string;
  readonly excerpt?: string;

  constructor(code: string, message: string, details: P2pErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "P2pError";
    this.code = code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.device !== undefined) this.device = details.device;
    if (details.hint !== undefined) this.hint = details.hint;
    if (details.parameter !== undefined) this.parameter = details.parameter;
    if (details.excerpt !== undefined) this.excerpt = details.excerpt;
  }

  /** True where the mistake is in the arguments rather than in the machine. */
  get isUsage(): boolean {
    return USAGE_CODES.has(this.code);
  }
}

/** A command that an NVMe controller completed with an error status (NVMe 1.4 §4.6.1). */
export class NvmeError extends P2pError {
  readonly statusCodeType: number;
  readonly statusCode: number;
  /** Which of the delays CRDT1 to CRDT3 of Identify Controller to wait before a retry; 0: none. */
  readonly retryDelay: number;
  /** The controller's error log has more about it. */
  readonly more: boolean;
  readonly doNotRetry: boolean;

  constructor(
    message: string,
    status: {
      statusCodeType: number;
      statusCode: number;
      doNotRetry: boolean;
      retryDelay?: number;
      more?: boolean;
    },
    details: P2pErrorDetails = {},
  ) {
    super("NVME_STATUS", message, details);
    this.name = "NvmeError";
    this.statusCodeType = status.statusCodeType;
    this.statusCode = status.statusCode;
    this.retryDelay = status.retryDelay ?? 0;
    this.more = status.more ?? false;
    this.doNotRetry = status.doNotRetry;
  }
}

/** A work request that an RDMA device completed with an error status (InfiniBand 1.4 §11.6.2). */
export class RdmaError extends P2pError {
  /** As ibv_wc_status numbers it. */
  readonly status: number;
  /** What the vendor of the device says beside it; 0: nothing. */
  readonly vendorError: number;

  constructor(
    message: string,
    status: { status: number; vendorError: number },
    details: P2pErrorDetails = {},
  ) {
    super("RDMA_STATUS", message, details);
    this.name = "RdmaError";
    this.status = status.status;
    this.vendorError = status.vendorError;
  }
}
