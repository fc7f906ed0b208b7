import { P2pError } from "../../errors.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Endpoint } from "../../io/endpoint.js";
import type { Session } from "../../session.js";
import { formatSize } from "../../units.js";
import type { BenchPoint } from "../point.js";

/**
 * Bytes of an endpoint whose data are verified where nobody said how much, at most: before each
 * verified sample all of the range is marked, which takes hours of a whole disk.
 */
export const VERIFIED_RANGE = 2 ** 30;

/** The endpoint from the point's offset on. Errors: BAD_RANGE. */
export function fromOffset(endpoint: Endpoint, { offset }: Pick<BenchPoint, "offset">): Endpoint {
  const { length } = endpoint;
  if (length === undefined) return { ...endpoint, offset: endpoint.offset + offset };
  if (offset >= length)
    throw new P2pError(
      "BAD_RANGE",
      `offset ${offset} is past the end of ${formatEndpoint(endpoint)}`,
      {
        device: endpoint.device,
        hint: "give a smaller offset or a longer range",
      },
    );
  return { ...endpoint, offset: endpoint.offset + offset, length: length - offset };
}

/**
 * How much of each endpoint a point works on: its size, else (as fio does, and the kernel's paths) all
 * that the shortest has; but to be verified no more than 1 GiB where nobody said how much. Undefined
 * where what it checks will say what is wrong. Errors: BAD_RANGE, where a named length is past the end.
 */
export async function rangeOf(
  session: Session,
  endpoints: readonly Endpoint[],
  { size, verify }: Pick<BenchPoint, "size" | "verify">,
): Promise<number | undefined> {
  const available = await Promise.all(
    endpoints.map(async ({ device, nsid, offset, length }) => {
      const { namespaces } = await session.controller(device);
      const namespace = namespaces.find((candidate) => candidate.nsid === nsid);
      if (namespace === undefined) return { bytes: 0, blockSize: 1 };
      if (length !== undefined && offset < namespace.size && offset + length > namespace.size)
        throw new P2pError(
          "BAD_RANGE",
          `${formatEndpoint({ device, nsid, offset, length })} reaches past the end of ${device}/${nsid}, which has ${namespace.size} bytes (${formatSize(namespace.size)})`,
          { device, hint: "give a smaller offset or length" },
        );
      return { bytes: length ?? namespace.size - offset, blockSize: namespace.blockSize };
    }),
  );
  if (size !== null) return size;
  const isNamed = endpoints.some(({ length }) => length !== undefined);
  const cap = verify === null || isNamed ? Infinity : VERIFIED_RANGE;
  const most = Math.min(...available.map(({ bytes }) => bytes), cap);
  const blockSize = Math.max(...available.map((each) => each.blockSize));
  return most > 0 ? most - (isNamed ? 0 : most % blockSize) : undefined;
}
