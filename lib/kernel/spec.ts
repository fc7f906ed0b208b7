/** linux/io_uring.h: names, and 32-bit words of the entries. */

/** Words of a submission entry (struct io_uring_sqe). */
export const SQE_WORDS = 16;
/** Opcode in bits 7:0, flags in bits 15:8. */
export const SQE_COMMAND = 0;
export const SQE_FILE = 1;
export const SQE_OFFSET = 2;
export const SQE_ADDRESS = 4;
export const SQE_LENGTH = 6;
export const SQE_USER_DATA = 8;
/** Index of a registered buffer in bits 15:0. */
export const SQE_BUFFER = 10;

/** Words of a completion entry (struct io_uring_cqe). */
export const CQE_WORDS = 4;
export const CQE_USER_DATA = 0;
export const CQE_RESULT = 2;

export const IORING_OP_READ_FIXED = 4;
export const IORING_OP_WRITE_FIXED = 5;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;

/** The file is named by its index among the registered ones. */
export const IOSQE_FIXED_FILE = 1 << 0;
export const SQE_FLAGS_SHIFT = 8;

/** Submission entries of one ring, at most (io_uring/io_uring.h, IORING_MAX_ENTRIES). */
export const IORING_MAX_ENTRIES = 32768;
/** Buffers that one ring can have registered (io_uring/rsrc.c, IORING_MAX_REG_BUFFERS). */
export const IORING_MAX_REG_BUFFERS = 16384;
/** Bytes of one of them, at most. */
export const IORING_MAX_BUFFER_BYTES = 2 ** 30;
