import { POST_COUNT, POST_FIRST, POST_TAKEN } from "#lib/rdma/ring-layout.js";
import type { Post } from "#lib/rdma/request-ring.js";

/**
 * What posts from a ring in place of the addon (rdma_ring.h, PostCall). `bytes`: of the ring's records;
 * `take` gives how many of so many it takes.
 */
export function fakePost(
  { buffer }: { buffer: ArrayBuffer },
  bytes: number,
  take: (first: number, count: number) => number,
): Post {
  const call = new Uint32Array(buffer, bytes);
  return () => {
    call[POST_TAKEN] = take(call[POST_FIRST]!, call[POST_COUNT]!);
  };
}
