/** What the other end of a stream may do to memory here: its source's it reaches not at all. */
import assert from "node:assert/strict";
import { formatGid, parseGid } from "#lib/exchange/address.js";
import { Access, Opcode, SendFlag } from "#lib/rdma/spec.js";
import { Session } from "#lib/session.js";
import { StreamEnd } from "#lib/stream/end.js";
import type { StreamOffer } from "#lib/stream/offer.js";
import { plansOf } from "../support/streams.js";

const [SOURCE, TARGET] = ["0000:03:00.0", "0000:04:00.0"];
const BYTES = 32;

describe("the memory of a stream's end", () => {
  let session: Session;

  beforeEach(async () => {
    session = await Session.open({ platform: "loopback", machine: "rdma" });
  });
  afterEach(() => session.close());

  /** What becomes of a write to it by the other end: ibv_wc_status. */
  async function writeTo(role: "source" | "destination", part: "data" | "headers") {
    const rdma = session.rdmaDevice();
    const plan = plansOf(rdma, { source: SOURCE, destination: TARGET })[role === "source" ? 0 : 1];
    await using end = await StreamEnd.open(session, plan);
    const { port, gidIndex, gid, lid, mtu } = rdma.choosePath({ port: 3 - plan.port! });
    const domain = rdma.allocateDomain();
    const buffer = session.addressSpace.allocate(4096);
    const region = domain.registerMemory(buffer.memory, 0, 4096, Access.LOCAL_WRITE);
    const completions = rdma.createCompletionQueue(8);
    const sizes = { sends: 2, receives: 2, sendCompletions: completions };
    const pair = domain.createQueuePair(sizes);
    try {
      pair.initialize({ port, gidIndex, remoteAccess: 0 });
      const { offer } = end;
      const at = offer.queuePair;
      pair.connect(
        { port, gidIndex, psn: 1, mtu: Math.min(mtu, at.mtu), remoteAccess: 0 },
        { number: at.number, psn: at.psn, lid: at.lid, gid: parseGid(at.gid) },
      );
      const other: StreamOffer = {
        ...{ ...offer, role: role === "source" ? "destination" : "source" },
        queuePair: { number: pair.number, psn: 1, lid, gid: formatGid(gid), mtu },
      };
      end.connect(other);
      const { address, rkey } = offer[part];
      const { WRITE } = Opcode;
      const { SIGNALED } = SendFlag;
      pair.sends.write(
        1,
        WRITE,
        SIGNALED,
        region.address,
        BYTES,
        region.lkey,
        Number(address),
        rkey,
      );
      pair.flush();
      while (completions.poll() === 0) await new Promise(setImmediate);
      return completions.status(0);
    } finally {
      pair.close();
      completions.close();
      region.close();
      domain.close();
      buffer.close();
    }
  }

  for (const part of ["data", "headers"] as const) {
    it(`is written to by the other end at a destination: its ${part}`, async () => {
      assert.equal(await writeTo("destination", part), 0);
    });

    it(`is not at a source: its ${part}`, async () => {
      // Remote Invalid Request, or Remote Access Error.
      assert.ok([9, 10].includes(await writeTo("source", part)));
    });
  }
});
