/** Numbers of infiniband/verbs.h, which are those of the kernel's interface (rdma/ib_user_verbs.h). */

/** Of work requests: ibv_wr_opcode. */
export const Opcode = {
  WRITE: 0,
  WRITE_WITH_IMMEDIATE: 1,
  SEND: 2,
  SEND_WITH_IMMEDIATE: 3,
  READ: 4,
} as const;

/** Of work requests: ibv_send_flags. Inline data has a method of its own: SendRing.writeInline(). */
export const SendFlag = {
  /** Begins once all reads before it have ended. */
  FENCE: 1,
  /** Gives a completion. */
  SIGNALED: 2,
  /** Wakes who waits for solicited events on the other side. */
  SOLICITED: 4,
} as const;

/** IBV_SEND_INLINE */
export const SEND_INLINE = 8;

/** Of memory regions and queue pairs: ibv_access_flags. */
export const Access = {
  LOCAL_WRITE: 1,
  REMOTE_WRITE: 2,
  REMOTE_READ: 4,
  ON_DEMAND: 64,
  RELAXED_ORDERING: 1 << 20,
} as const;

/** Of completions: ibv_wc_opcode. */
export const CompletionOpcode = {
  SEND: 0,
  WRITE: 1,
  READ: 2,
  RECEIVE: 128,
  RECEIVE_WRITE_WITH_IMMEDIATE: 129,
} as const;

/** Of completions: IBV_WC_WITH_IMM. */
export const COMPLETION_WITH_IMMEDIATE = 2;

/** Of ports: ibv_port_state. */
export const PortState = { DOWN: 1, INITIALISING: 2, ARMED: 3, ACTIVE: 4 } as const;

/** Packet sequence numbers have 24 bits (InfiniBand 1.4 §9.2.3). */
export const PSN_MASK = 0xff_ffff;
