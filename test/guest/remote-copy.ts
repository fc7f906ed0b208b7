/**
 * Copies over soft-RoCE from one process that owns a controller to another that owns another one, through
 * host memory at both ends. test/lab/remote-copy.test.ts runs it in a virtual server of its own, and
 * compares the images afterwards, from outside.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Connection } from "#lib/exchange/connection.js";
import { readKeyFile } from "#lib/remote/key-file.js";
import type { RemoteCopyResult } from "#lib/remote/result.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { p2pmem, start, type CommandResult } from "../support/command.js";
import { waitUntilListening } from "../support/listening.js";
import { KILLS, MAIN, PULLED, windowOf } from "../support/remote-copy-places.js";

const { NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const SERVE_PORT = 18_516;
const URL = "rdma://127.0.0.1/disk";
const OPTIONS = ["--bs", "128k", "--iodepth", "16", "--output-format", "json"];
/** What a client may take to see that its server has gone, to try again (30 s), and to end: milliseconds. */
const NOTICED_MS = 60_000;
const IMPATIENT = ["--reconnect", "0"];
/** Small, for copies that are to be refused. */
const A_MEGABYTE = `${NVME1}@0+1m`;

type Running = ReturnType<typeof start>;

/** Serves the second controller's namespace as `disk`. */
async function serve(...options: string[]): Promise<Running> {
  const server = start("serve", `disk=${NVME2}`, "--output-format", "json", ...options);
  try {
    await waitUntilListening(SERVE_PORT, server.child);
  } catch (error) {
    throw new Error((await server.done).stderr, { cause: error });
  }
  return server;
}

async function stop({ child, done }: Running, signal: NodeJS.Signals = "SIGINT"): Promise<void> {
  child.kill(signal);
  const { code, stderr } = await done;
  if (signal === "SIGINT") assert.equal(code, 130, stderr);
}

function resultOf({ code, stdout, stderr }: CommandResult): RemoteCopyResult {
  assert.equal(code, 0, stderr);
  const { results } = JSON.parse(stdout) as { results: RemoteCopyResult[] };
  assert.equal(results.length, 1);
  return results[0]!;
}

function assertRefused({ code, stderr }: CommandResult, why: string, says = /./): void {
  assert.equal(code, 1, stderr);
  assert.match(stderr, new RegExp(`^p2pmem: ${why}: [^\n]+\n$`));
  assert.match(stderr, says);
}

function setLink(state: "up" | "down"): void {
  const { status, stderr } = spawnSync("ip", ["link", "set", "dummy0", state], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
}

describe("copies over soft-RoCE", () => {
  let server: Running;

  before(async () => {
    server = await serve("--allow-write");
  });
  after(() => stop(server));

  it("go through host memory, since the NIC reaches nothing else, compared by CRC-32C", async () => {
    const source = `${NVME1}@${MAIN.from}+${MAIN.size}`;
    const result = resultOf(await p2pmem("copy", source, `${URL}@${MAIN.to}`, ...OPTIONS));
    console.log(`      ${(result.bw_bytes / 2 ** 20).toFixed(0)} MiB/s, ${MAIN.size >> 20} MiB`);
    assert.equal(result.bytes, MAIN.size);
    assert.deepEqual(result.verify, {
      ...{ mode: "crc32c", blocks: MAIN.size / (128 << 10), mismatches: 0 },
    });
    for (const { staging, reason } of [result.ends.src, result.ends.dst]) {
      assert.equal(staging, "host");
      assert.match(reason, /rxe0/);
    }
  });

  it("go the other way, too", async () => {
    const { from, to, size } = PULLED;
    const destination = `${NVME1}@${to}`;
    const pull = ["copy", `${URL}@${from}+${size}`, destination, ...OPTIONS];
    assertRefused(await p2pmem(...pull), "WRITE_NOT_ALLOWED");
    assert.equal(resultOf(await p2pmem(...pull, "--allow-write")).bytes, size);
  });

  for (const staging of ["p2pmem", "cmb"])
    it(`refuse --staging ${staging}, which soft-RoCE does not register`, async () => {
      const provider = staging === "p2pmem" ? ["--provider", CARD] : [];
      assertRefused(
        await p2pmem("copy", A_MEGABYTE, URL, ...IMPATIENT, "--staging", staging, ...provider),
        staging === "p2pmem" ? "NO_DMABUF" : "(NO_DMABUF|NO_PROVIDER|NO_CMB)",
      );
    });

  it("end where the GID or the export is none, or the port is down, and the server lives", async () => {
    const copy = (...options: string[]): Promise<CommandResult> =>
      p2pmem("copy", A_MEGABYTE, ...options, ...IMPATIENT);
    assertRefused(await copy(URL, "--gid-index", "200"), "NO_GID");
    assertRefused(await copy(URL, "--ib-dev", "mlx5_0"), "UNKNOWN_DEVICE", /mlx5_0/);
    assertRefused(await copy("rdma://127.0.0.1/tape"), "NO_EXPORT", /disk/);
    setLink("down");
    try {
      assertRefused(await copy(URL), "PORT_DOWN");
    } finally {
      setLink("up");
    }
    assert.equal(server.child.exitCode, null);
  });

  it("go on after the port was down in the middle", async () => {
    const { from, to, size } = windowOf(KILLS);
    const copy = start("copy", `${NVME1}@${from}+${size}`, `${URL}@${to}`, ...OPTIONS);
    await delay(1500);
    setLink("down");
    await delay(2000);
    setLink("up");
    assert.equal(resultOf(await copy.done).bytes, size);
  });
});

describe("a server", () => {
  const key = join(tmpdir(), "key");
  const otherKey = join(tmpdir(), "other-key");

  before(() => {
    for (const [index, file] of [key, otherKey].entries())
      writeFileSync(file, `${index}`.repeat(64), { mode: 0o600 });
  });

  it("lets in who has its key, as many as it may, and writes nothing unless allowed", async () => {
    // Its patience is for the client that holds the only place while another one starts.
    const server = await serve(
      ...["--key-file", key, "--max-connections", "1", "--peer-timeout", "60"],
    );
    const copy = (...options: string[]): Promise<CommandResult> =>
      p2pmem("copy", A_MEGABYTE, URL, ...IMPATIENT, ...options);
    try {
      assertRefused(await copy("--key-file", otherKey), "BAD_KEY");
      assertRefused(await copy(), "BAD_KEY");
      // What is no message harms nobody else.
      const garbage = connect(SERVE_PORT, "127.0.0.1");
      garbage.on("error", () => undefined);
      garbage.end(Buffer.alloc(4096, 0xff));
      const first = await Connection.connect("127.0.0.1", SERVE_PORT, {
        ...{ role: "copy", key: readKeyFile(key), timeoutMs: 10_000 },
      });
      assertRefused(await copy("--key-file", key), "TOO_MANY_CLIENTS");
      first.close();
      assertRefused(await copy("--key-file", key), "WRITE_NOT_ALLOWED");
    } finally {
      await stop(server);
    }
  });
});

describe("copies of which one side is killed", () => {
  const seed = Number(process.env.P2PMEM_SEED ?? Date.now() % 2 ** 32);
  const random = randomNumbers(seed);
  let server: Running;
  /** What an undisturbed copy takes: milliseconds. */
  let usual: number;
  let hits = 0;

  const copyOf = (round: number): Running => {
    const { from, to, size } = windowOf(round);
    const ends = [`${NVME1}@${from}+${size}`, `${URL}@${to}`];
    return start("copy", ...ends, "--resume", join(tmpdir(), `journal-${round}`), ...OPTIONS);
  };
  /** Ends in time; what it says. */
  const inTime = async ({ child, done }: Running): Promise<CommandResult> => {
    const late = setTimeout(() => child.kill("SIGABRT"), NOTICED_MS + 2 * usual);
    const result = await done;
    clearTimeout(late);
    assert.notEqual(child.signalCode, "SIGABRT", `it hung: ${result.stderr}`);
    return result;
  };

  before(async () => {
    console.log(`      P2PMEM_SEED=${seed}`);
    server = await serve("--allow-write", "--peer-timeout", "3");
    const began = performance.now();
    resultOf(await copyOf(0).done);
    usual = performance.now() - began;
  });
  after(() => stop(server));

  for (let round = 0; round < KILLS; round++) {
    const isServer = round % 2 === 1;
    const moment = random();
    it(`round ${round}: the ${isServer ? "server" : "client"} is, and the rest is copied`, async () => {
      const copy = copyOf(round);
      await delay(moment * usual);
      if (copy.child.exitCode === null) hits++;
      if (isServer) {
        await stop(server, "SIGKILL");
        server = await serve("--allow-write", "--peer-timeout", "3");
        const result = await inTime(copy);
        if (result.code === 0) return;
        // Where it was not connected yet, or where its server never came to know it.
        assertRefused(result, "(NO_ROUTE|PEER_GONE)");
      } else await stop(copy, "SIGKILL");
      const { bytes, resumed_bytes: resumed } = resultOf(await inTime(copyOf(round)));
      assert.equal(bytes + resumed, windowOf(round).size);
    });
  }

  it("were killed at work, most of them", () => {
    assert.ok(hits > KILLS / 2, `${hits} of ${KILLS}`);
  });
});
