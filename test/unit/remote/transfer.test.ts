/** One end of a transfer, whose other side and whose stream say what the test wants. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { P2pError } from "#lib/errors.js";
import { Connection } from "#lib/exchange/connection.js";
import type { Listener } from "#lib/exchange/listener.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { encodeSums } from "#lib/remote/protocol.js";
import { patienceFor, transfer } from "#lib/remote/transfer.js";
import type { TransferPatience, TransferPlan } from "#lib/remote/transfer.js";
import type { Volume } from "#lib/remote/volume.js";
import type { StreamOutcome } from "#lib/stream/outcome.js";
import type { RunOptions } from "#lib/stream/run.js";
import { HOST, listen, PATIENT } from "../../support/exchange.js";

const BS = 4096;
const BLOCKS = 64;
/** Longer than a test may take: what waits for it fails. */
const LONG: TransferPatience = { stallMs: 600_000, endMs: 600_000, causeMs: 600_000 };

const traffic = {
  ...({ source: "derived", host_memory_bytes: null, host_control_bytes: null } as const),
  ...{ root_complex_bytes: null, links: null },
};
const OUTCOME: StreamOutcome = {
  ...{ bytes: BLOCKS * BS, blocks: BLOCKS, runtimeNs: 1e6, latency: new Histogram() },
  cpu: { userNs: 1, systemNs: 1, busyNs: 1, deviceNs: null },
  ...{ traffic, ownTraffic: traffic, iodepth: 1, notes: [] },
};
const REPORT = {
  ...{ bytes: BLOCKS * BS, runtime_ns: 1, iodepth: 1, notes: [], verify_bytes: 0 },
  lat_ns: { min: null, mean: null, max: null, percentile: {} },
  cpu: { usr_ns: 1, sys_ns: 1, busy_ns: 1 },
  traffic: {
    ...{ source: "derived", host_memory_bytes: null },
    ...{ host_control_bytes: null, root_complex_bytes: null },
  },
};
const said = z.looseObject({ type: z.string() });

/** Ends when the test says so, or by its signal. */
class ScriptedStream {
  written = 0;
  isAborted = false;
  trouble: P2pError | null = null;
  #settle!: { resolve: (outcome: StreamOutcome) => void; reject: (error: Error) => void };
  readonly #run = new Promise<StreamOutcome>((resolve, reject) => {
    this.#settle = { resolve, reject };
  });
  onProgress: ((bytes: number) => void) | undefined;

  run(options: RunOptions = {}): Promise<StreamOutcome> {
    const { signal } = options;
    this.onProgress = (bytes) => options.onProgress?.(bytes);
    const interrupt = (): void => {
      this.isAborted = true;
      this.fail(new P2pError("INTERRUPTED", "interrupted"));
    };
    signal?.addEventListener("abort", interrupt);
    if (signal?.aborted === true) interrupt();
    return this.#run;
  }

  end(): void {
    this.written = BLOCKS;
    this.#settle.resolve(OUTCOME);
  }

  fail(error: Error): void {
    this.#settle.reject(error);
  }

  assertIntact(): void {
    if (this.trouble !== null) throw this.trouble;
  }
}

describe("One end of a transfer", () => {
  let listener: Listener;
  /** The other side, and this one. */
  let peer: Connection;
  let own: Connection;
  let stream: ScriptedStream;
  let release: () => void;
  let onFlush: () => Promise<void>;
  let onSums: () => Promise<void>;

  const volume: Volume = {
    verifiedBytes: 0,
    sums: async ({ count }) => {
      await onSums();
      return new Uint32Array(count);
    },
    flush: () => onFlush(),
    close: () => undefined,
  };

  beforeEach(async () => {
    const served = new Promise<void>((resolve) => (release = resolve));
    let accept!: (connection: Connection) => void;
    const accepted = new Promise<Connection>((resolve) => (accept = resolve));
    listener = await listen({}, (connection) => {
      accept(connection);
      return served;
    });
    peer = await Connection.connect(HOST, listener.port, PATIENT);
    own = await accepted;
    stream = new ScriptedStream();
    onFlush = () => Promise.resolve();
    onSums = () => Promise.resolve();
  });
  afterEach(async () => {
    peer.close();
    release();
    await listener.close();
  });

  const run = (
    role: TransferPlan["role"],
    rest: Partial<TransferPlan> = {},
    patience: Partial<TransferPatience> = {},
  ) => {
    const place = { name: "a namespace", offset: 0, blockSize: 512 };
    return transfer(
      own,
      stream,
      volume,
      {
        ...{ role, size: BLOCKS * BS, bs: BS, first: 0, verify: false, commandMs: 30_000 },
        places: { source: place, destination: place },
        ...rest,
      },
      { ...LONG, ...patience },
    );
  };

  const heard = (): Promise<z.infer<typeof said>> => peer.receive(said);

  /** The other side is a destination that has flushed all. */
  async function flushAll(): Promise<void> {
    stream.end();
    peer.send({ type: "flushed", blocks: BLOCKS });
    assert.deepEqual(await heard(), { type: "confirmed", blocks: BLOCKS });
    assert.equal((await heard()).type, "done");
  }

  it("is done when both sides have said so", async () => {
    const running = run("source");
    await flushAll();
    peer.send({ type: "done", report: REPORT });
    const { own: ours, remote } = await running;
    assert.equal(ours.bytes, BLOCKS * BS);
    assert.deepEqual(remote, REPORT);
  });

  it("fails where the other side fails after this one was done", async () => {
    const running = assert.rejects(run("source"), {
      code: "PMR_FAILED",
      message: /it lost writes/,
    });
    await flushAll();
    peer.fail(new P2pError("PMR_FAILED", "it lost writes"));
    await running;
  });

  it("fails where the other side goes before it was done", async () => {
    const running = assert.rejects(run("source"), { code: "PEER_GONE" });
    await flushAll();
    peer.close();
    await running;
  });

  it("confirms at the destination what the source has confirmed, and not before", async () => {
    const confirmed: number[] = [];
    const running = run("destination", { onConfirmed: (blocks) => confirmed.push(blocks) });
    stream.end();
    assert.deepEqual(await heard(), { type: "flushed", blocks: BLOCKS });
    assert.deepEqual(confirmed, []);
    peer.send({ type: "confirmed", blocks: BLOCKS });
    assert.equal((await heard()).type, "done");
    assert.deepEqual(confirmed, [BLOCKS]);
    peer.send({ type: "done", report: REPORT });
    await running;
  });

  for (const verify of [false, true])
    it(`tells of nothing that went through memory which failed (verify: ${verify})`, async () => {
      onFlush = () => {
        stream.trouble = new P2pError("PMR_FAILED", "it lost writes");
        return Promise.resolve();
      };
      const running = assert.rejects(run("destination", { verify }), { code: "PMR_FAILED" });
      stream.written = BLOCKS;
      await assert.rejects(heard(), { code: "PMR_FAILED" });
      await running;
      assert.ok(stream.isAborted);
    });

  it("tells of nothing that was flushed while the stream failed", async () => {
    onFlush = async () => {
      stream.fail(new P2pError("RDMA_STATUS", "a request failed"));
      await new Promise(setImmediate);
    };
    const running = assert.rejects(run("destination", {}, { causeMs: 50 }), {
      code: "RDMA_STATUS",
    });
    stream.written = BLOCKS;
    await assert.rejects(heard(), { code: "RDMA_STATUS" });
    await running;
  });

  it("confirms nothing at the source that its own failed memory has sent", async () => {
    const running = assert.rejects(run("source"), { code: "REVOKED" });
    stream.trouble = new P2pError("REVOKED", "the card has gone");
    peer.send({ type: "flushed", blocks: BLOCKS });
    await assert.rejects(heard(), { code: "REVOKED" });
    await running;
  });

  it("takes the other side's word for why the wire broke, and its own where it is its own", async () => {
    const running = assert.rejects(run("source"), { code: "NVME_STATUS" });
    stream.fail(new P2pError("RDMA_STATUS", "a request failed"));
    await new Promise(setImmediate);
    peer.fail(new P2pError("NVME_STATUS", "a write failed"));
    await running;
  });

  for (const verify of [false, true])
    it(`ends by what broke the wire, whatever was flushed meanwhile (verify: ${verify})`, async () => {
      const running = assert.rejects(run("source", { verify }, { causeMs: 300 }), {
        code: "RDMA_STATUS",
      });
      stream.fail(new P2pError("RDMA_STATUS", "a request failed"));
      await new Promise(setImmediate);
      for (const first of [0, 16, 32])
        peer.send(
          verify
            ? { type: "sums", first, sums: encodeSums(new Uint32Array(16)) }
            : { type: "flushed", blocks: first + 16 },
        );
      await assert.rejects(heard(), { code: "RDMA_STATUS" });
      await running;
    });

  it("waits for no other word where the trouble is its own", async () => {
    const running = assert.rejects(run("source"), { code: "DEVICE_GONE" });
    stream.fail(new P2pError("DEVICE_GONE", "somebody pulled it"));
    await running;
  });

  it("ends a stream that nobody ends, where the other side says that it is done, and goes", async () => {
    const running = assert.rejects(run("destination", { first: BLOCKS }), { code: "PEER_GONE" });
    peer.send({ type: "done", report: REPORT });
    peer.close();
    await running;
    assert.ok(stream.isAborted);
  });

  it("ends it where the other side stays, too", async () => {
    const running = assert.rejects(run("destination", { first: BLOCKS }, { endMs: 80 }), {
      code: "PEER_PROTOCOL",
      message: /did not end its stream/,
    });
    peer.send({ type: "done", report: REPORT });
    await running;
    assert.ok(stream.isAborted);
  });

  it("ends it with its own side, too", async () => {
    const running = assert.rejects(run("destination"), { code: "PEER_GONE" });
    release();
    void listener.close();
    await running;
    assert.ok(stream.isAborted);
  });

  it("ends when nothing moves, and not while something does", async () => {
    const running = assert.rejects(run("source", {}, { stallMs: 400 }), {
      code: "PEER_GONE",
      message: /nothing has moved between both sides for 0.4 s/,
    });
    let isOver = false;
    void running.then(() => (isOver = true));
    for (let bytes = 1; bytes <= 40; bytes++) {
      stream.onProgress!(bytes);
      await delay(20);
    }
    assert.ok(!isOver);
    await running;
    assert.ok(stream.isAborted);
  });

  it("may rest for as long as a command takes that is then ended, and not much longer", () => {
    for (const commandMs of [500, 30_000, 600_000]) {
      const { stallMs } = patienceFor(commandMs);
      assert.ok(stallMs >= commandMs + 10_000 && stallMs <= commandMs + 15_000);
    }
  });

  it("counts a flush that is over as a move", async () => {
    onFlush = () => delay(400);
    onSums = () => delay(400);
    const running = run("destination", { verify: true }, { stallMs: 640 });
    stream.end();
    assert.equal((await heard()).type, "sums");
    peer.send({ type: "confirmed", blocks: BLOCKS });
    assert.equal((await heard()).type, "done");
    peer.send({ type: "done", report: REPORT });
    await running;
  });

  it("takes no window that is too large", async () => {
    const running = assert.rejects(run("source", { size: 5000 * BS }), { code: "BAD_MESSAGE" });
    peer.send({ type: "flushed", blocks: 4097 });
    await assert.rejects(heard(), { code: "BAD_MESSAGE" });
    await running;
  });

  it("takes no confirmation of what is not a window's end", async () => {
    const running = assert.rejects(run("destination"), { code: "BAD_MESSAGE" });
    stream.written = BLOCKS;
    await heard();
    peer.send({ type: "confirmed", blocks: BLOCKS - 1 });
    await running;
  });
});
