/** What a connection is for: `p2pmem rdma`, or `p2pmem serve` and `copy`. */
export type Role = "rdma" | "copy";

export interface ExchangeOptions {
  role: Role;
  /** A secret that both sides have: without it, or with another one, they do not talk. */
  key?: Uint8Array;
  /**
   * How long reaching the peer and greeting it may take; after that, how long it may be silent (it
   * says each second that it is there: 3 s at least); and what receive() waits without a time of its own.
   */
  timeoutMs: number;
  /** Ends the connection, or the listener's all, with INTERRUPTED. */
  signal?: AbortSignal;
}
