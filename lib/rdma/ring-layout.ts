/** Records of work requests and completions, in 32-bit words: native/core/rdma_ring.h. */

export const SEND_ID = 0;
export const SEND_OPCODE = 2;
export const SEND_FLAGS = 3;
export const SEND_IMMEDIATE = 4;
export const SEND_SGE_COUNT = 5;
export const SEND_REMOTE_ADDRESS = 6;
export const SEND_RKEY = 8;
export const SEND_SGES = 10;

export const RECEIVE_ID = 0;
export const RECEIVE_SGE_COUNT = 2;
export const RECEIVE_SGES = 4;

/** Of a gather entry: address (two words), length, key. */
export const SGE_WORDS = 4;

/** Of what lies behind the records of a ring: PostCall. */
export const POST_FIRST = 0;
export const POST_COUNT = 1;
export const POST_TAKEN = 2;

/** Of what lies behind the records of completions: PollCall. */
export const POLL_ROOM = 0;
export const POLL_LOOKS = 1;
export const POLL_FOUND = 2;

/** Of both: two words. */
export const CALL_TIME = 4;

export const COMPLETION_WORDS = 16;
export const COMPLETION_ID = 0;
export const COMPLETION_STATUS = 2;
export const COMPLETION_OPCODE = 3;
export const COMPLETION_BYTES = 4;
export const COMPLETION_IMMEDIATE = 5;
export const COMPLETION_QUEUE_PAIR = 6;
export const COMPLETION_FLAGS = 7;
export const COMPLETION_VENDOR_ERROR = 8;
