/**
 * Copies over soft-RoCE from one process that owns a controller to another that owns another one, through
 * host memory at both ends. test/lab/remote-copy.test.ts runs it in a virtual server of its own, and
 * compares the images afterwards, from outside.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RemoteCopyResult } from "#lib/remote/result.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { p2pmem, start, type CommandResult } from "../support/command.js";
import { KILLS, LIMIT_SECONDS, MAIN, PULLED, windowOf } from "../support/remote-copy-places.js";
import { Serving } from "../support/serving.js";

const { NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const URL = "rdma://127.0.0.1/disk";
const OPTIONS = ["--bs", "128k", "--iodepth", "16", "--output-format", "json"];
/** What a client may take to see that its server has gone, to try again, and to end: milliseconds. */
const NOTICED_MS = 180_000;
/** Seconds that a server may take to come again: a process starts slowly there. */
const PATIENT = ["--reconnect", "120"];
/** A killed copy has been at work for so long at most. */
const LATEST_KILL_MS = 1500;
const IMPATIENT = ["--reconnect", "0"];
/** Small, for copies that are to be refused. */
const A_MEGABYTE = `${NVME1}@0+1m`;

type Running = ReturnType<typeof start>;

/** Serves the second controller's namespace as `disk`. */
function serve(...options: string[]): Promise<Serving> {
  return Serving.start(`disk=${NVME2}`, "--allow-write", ...options);
}

async function stop(server: Serving): Promise<void> {
  const { code, stderr } = await server.stop("SIGINT");
  assert.equal(code, 130, stderr);
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

describe("copies over soft-RoCE", function () {
  this.timeout(1000 * LIMIT_SECONDS);
  let server: Serving;

  before(async () => {
    server = await serve();
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

  it("end where the GID is none or the port is down, and the server lives", async () => {
    const copy = (...options: string[]): Promise<CommandResult> =>
      p2pmem("copy", A_MEGABYTE, ...options, ...IMPATIENT);
    assertRefused(await copy(URL, "--gid-index", "200"), "NO_GID");
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
    await server.next("begun");
    setLink("down");
    await delay(2000);
    setLink("up");
    assert.equal(resultOf(await copy.done).bytes, size);
  });
});

describe("copies of which one side is killed", function () {
  this.timeout(1000 * LIMIT_SECONDS);
  const seed = Number(process.env.P2PMEM_SEED ?? Date.now() % 2 ** 32);
  const random = randomNumbers(seed);
  let server: Serving;
  let hits = 0;

  const copyOf = (round: number): Running => {
    const { from, to, size } = windowOf(round);
    const ends = [`${NVME1}@${from}+${size}`, `${URL}@${to}`];
    const journal = join(tmpdir(), `journal-${round}`);
    return start("copy", ...ends, "--resume", journal, ...PATIENT, ...OPTIONS);
  };
  /** Ends in time; what it says. */
  const inTime = async ({ child, done }: Running): Promise<CommandResult> => {
    const late = setTimeout(() => child.kill("SIGABRT"), NOTICED_MS);
    const result = await done;
    clearTimeout(late);
    assert.notEqual(child.signalCode, "SIGABRT", `it hung: ${result.stderr}`);
    return result;
  };

  before(async () => {
    console.log(`      P2PMEM_SEED=${seed}`);
    server = await serve("--peer-timeout", "3");
  });
  after(() => stop(server));

  for (let round = 0; round < KILLS; round++) {
    const isServer = round % 2 === 1;
    const moment = random();
    it(`round ${round}: the ${isServer ? "server" : "client"} is, and the rest is copied`, async () => {
      const copy = copyOf(round);
      await Promise.race([server.next("begun"), copy.done]);
      await delay(LATEST_KILL_MS * moment);
      if (copy.child.exitCode === null) hits++;
      if (isServer) {
        await server.stop("SIGKILL");
        server = await serve("--peer-timeout", "3");
        const result = await inTime(copy);
        if (result.code === 0) return;
        // Where its server was gone before it had come to know it.
        assertRefused(result, "(NO_ROUTE|PEER_GONE)");
      } else {
        copy.child.kill("SIGKILL");
        await copy.done;
      }
      const { bytes, resumed_bytes: resumed } = resultOf(await inTime(copyOf(round)));
      assert.equal(bytes + resumed, windowOf(round).size);
    });
  }

  it("were killed at work, most of them", () => {
    assert.ok(2 * hits > KILLS, `${hits} of ${KILLS}`);
  });
});
