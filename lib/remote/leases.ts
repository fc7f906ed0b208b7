import { P2pError } from "../errors.js";

/** A range that one transfer of one client uses. Bytes from the start of the namespace. */
export interface LeaseRequest {
  /** The copy that it belongs to, also when it connects again. */
  client: string;
  /** `BDF/NSID` */
  namespace: string;
  start: number;
  end: number;
  isWriter: boolean;
  /** Asked to let go, since the same copy has come back: ends what is in flight, then releases. */
  onRecall(): void;
}

export class Lease {
  readonly request: LeaseRequest;
  readonly released: Promise<void>;
  /** Nothing of it is in flight any more. Idempotent. */
  readonly release: () => void;

  constructor(request: LeaseRequest, onRelease: (lease: Lease) => void) {
    this.request = request;
    let resolve: () => void;
    this.released = new Promise((settle) => {
      resolve = settle;
    });
    this.release = () => {
      onRelease(this);
      resolve();
    };
  }
}

/** Which ranges are in use. Who writes one is alone there; those who read may be many. */
export class Leases {
  readonly #held = new Set<Lease>();

  /**
   * What the same copy held before, by a connection that broke, is recalled and waited for, so that
   * nothing of it arrives later. Errors: IN_USE.
   */
  async acquire(request: LeaseRequest): Promise<Lease> {
    for (;;) {
      const own = [...this.#held].filter((lease) => lease.request.client === request.client);
      if (own.length === 0) break;
      for (const lease of own) lease.request.onRecall();
      await Promise.all(own.map((lease) => lease.released));
    }
    const other = [...this.#held].find((lease) => conflicts(lease.request, request));
    if (other !== undefined)
      throw new P2pError(
        "IN_USE",
        `another copy ${other.request.isWriter ? "writes" : "reads"} a part of that range of ${request.namespace}`,
        { hint: "wait until it has finished" },
      );
    const lease = new Lease(request, (released) => this.#held.delete(released));
    this.#held.add(lease);
    return lease;
  }
}

function conflicts(a: LeaseRequest, b: LeaseRequest): boolean {
  if (a.namespace !== b.namespace || !(a.isWriter || b.isWriter)) return false;
  return a.start < b.end && b.start < a.end;
}
