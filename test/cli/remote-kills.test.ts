/** p2pmem serve and copy, each in a process and on a machine of its own, of which one is killed. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { RemoteCopyReport } from "#lib/cli/output/remote-copy.js";
import type { RemoteCopyResult } from "#lib/remote/result.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { start, type CommandResult } from "../support/command.js";
import { Serving } from "../support/serving.js";
import { WiredMachines } from "../support/wired-machines.js";

const BYTES = 24 << 20;
const [BS, DEPTH, WRITE_MS] = [64 << 10, 2, 20];
/** No copy of all is done sooner: milliseconds. */
const SHORTEST_MS = ((BYTES / BS) * WRITE_MS) / DEPTH;
/** What is killed may take to be missed (10 s), and the rest to be copied, on a very busy machine. */
const LONGEST_MS = 60_000;

/** Ten in all. */
const SCENARIOS = [
  { victim: "client", way: "push", staging: "host", verify: "crc32c", kills: 3 },
  { victim: "client", way: "pull", staging: "p2pmem", verify: "none", kills: 2 },
  { victim: "server", way: "push", staging: "p2pmem", verify: "crc32c", kills: 2 },
  { victim: "server", way: "pull", staging: "host", verify: "none", kills: 3 },
] as const;

describe("a copy between machines of which one is killed", function () {
  this.timeout(300_000);
  const seed = Number(process.env.P2PMEM_SEED ?? Date.now() % 2 ** 32);
  const random = randomNumbers(seed);
  let machines: WiredMachines;
  let serving: Serving;

  before(() => {
    console.log(`      P2PMEM_SEED=${seed}`);
  });
  afterEach(async () => {
    await serving.stop("SIGKILL");
    machines.close();
  });

  /** Of a run that has ended in time, and well. */
  async function resultOf(
    { child, done }: ReturnType<typeof start>,
    verify: string,
  ): Promise<RemoteCopyResult> {
    const hangs = setTimeout(() => child.kill("SIGABRT"), LONGEST_MS);
    const { code, stdout, stderr }: CommandResult = await done;
    clearTimeout(hangs);
    assert.equal(code, 0, child.signalCode === "SIGABRT" ? "it hung" : stderr);
    const [result] = (JSON.parse(stdout) as RemoteCopyReport).results;
    assert.equal(result!.verify?.mismatches ?? "none", verify === "none" ? "none" : 0);
    assert.ok(machines.isCopied, "what was reported to be right is not");
    return result!;
  }

  for (const { victim, way, staging, verify, kills } of SCENARIOS)
    it(`goes on after ${kills} kills of the ${victim} (${way}, ${staging}, ${verify})`, async () => {
      const isPush = way === "push";
      machines = new WiredMachines(BYTES, {
        ...{ from: isPush ? "client" : "server", writeMs: WRITE_MS },
        hasCards: staging === "p2pmem",
      });
      const serve = (listen: string): Promise<Serving> =>
        Serving.start(
          ...machines.serveArgs(),
          "--listen",
          listen,
          "--allow-write",
          "--staging",
          staging,
        );
      serving = await serve("127.0.0.1:0");
      const { host } = new URL(serving.url);
      const journal = machines.path("journal");
      const copy = (): ReturnType<typeof start> =>
        start(
          ...["copy", ...machines.args("client"), "--staging", staging, `--verify=${verify}`],
          ...(isPush ? [machines.nvme, serving.url] : [serving.url, machines.nvme]),
          ...["--bs", `${BS}`, "--iodepth", `${DEPTH}`, "--reconnect", "100"],
          ...["--resume", journal, "--output-format", "json"],
        );
      const confirmed = (): number =>
        (JSON.parse(readFileSync(journal, "utf8")) as { confirmed: number }).confirmed;

      let running = copy();
      for (let kill = 0; kill < kills; kill++) {
        await Promise.race([serving.next("begun"), running.done]);
        // The last one, so that there is something to go on with.
        if (kill === kills - 1)
          while (running.child.exitCode === null && confirmed() === 0) await delay(10);
        await delay((random() * SHORTEST_MS) / (2 * kills));
        if (running.child.exitCode !== null)
          assert.fail(`it had come to its end before: ${(await running.done).stderr}`);
        if (victim === "client") {
          running.child.kill("SIGKILL");
          assert.equal((await running.done).code, null);
          running = copy();
        } else {
          await serving.stop("SIGKILL");
          assert.equal(running.child.exitCode, null, "it goes on with the next one");
          serving = await serve(host);
        }
      }
      const result = await resultOf(running, verify);
      assert.equal(result.resumed_bytes + result.bytes, BYTES);
      if (victim === "client") assert.ok(result.resumed_bytes > 0);
      else assert.ok(result.reconnects >= kills);
      assert.ok(!existsSync(journal));
      for (const { staging: memory } of [result.ends.src, result.ends.dst])
        assert.equal(memory === "host", staging === "host");
    });
});
