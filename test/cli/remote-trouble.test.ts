/** p2pmem serve and copy, each in a process and on a machine of its own, in the middle of which something fails. */
import assert from "node:assert/strict";
import { p2pmem, start, type CommandResult } from "../support/command.js";
import { Serving } from "../support/serving.js";
import { WiredMachines, type WiredOptions } from "../support/wired-machines.js";

const MIB = 1 << 20;
/** The shortest that it may be, seconds; and when who waits for a peer has to have given up: milliseconds. */
const PEER_TIMEOUT = ["--peer-timeout", "3"];
const GIVEN_UP_MS = 15_000;

describe("a copy between machines, with trouble in its middle", function () {
  this.timeout(120_000);
  let machines: WiredMachines;
  let serving: Serving;

  async function serve(options: WiredOptions, ...flags: string[]): Promise<void> {
    machines = new WiredMachines(16 * MIB, options);
    const listen = ["--listen", "127.0.0.1:0", "--allow-write", ...PEER_TIMEOUT, ...flags];
    serving = await Serving.start(...machines.serveArgs(), ...listen);
  }
  afterEach(async () => {
    await serving.stop("SIGKILL");
    machines.close();
  });

  const args = (...flags: string[]): string[] => [
    ...["copy", ...machines.args("client"), machines.nvme, serving.url, "--bs", "64k"],
    ...["--iodepth", "2", "--reconnect", "0", ...PEER_TIMEOUT, "--output-format", "json", ...flags],
  ];
  const copy = (...flags: string[]): Promise<CommandResult> => p2pmem(...args(...flags));

  function assertFailed({ code, stderr }: CommandResult, why: RegExp): void {
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^p2pmem: [A-Z_]+: [^\n]+\n$/);
    assert.match(stderr, why);
  }

  it("gives up a server that is stopped, in time", async () => {
    await serve({ writeMs: 20 });
    const { child, done } = start(...args());
    await Promise.race([serving.next("begun"), done]);
    serving.child.kill("SIGSTOP");
    const began = performance.now();
    assertFailed(await done, /PEER_GONE|RDMA_STATUS/);
    assert.ok(performance.now() - began < GIVEN_UP_MS);
    assert.equal(child.signalCode, null);
  });

  it("gives up a client that is stopped, and serves the next one", async () => {
    await serve({ writeMs: 20 }, "--max-connections", "1");
    const stopped = start(...args());
    await Promise.race([serving.next("begun"), stopped.done]);
    stopped.child.kill("SIGSTOP");
    const began = performance.now();
    const { error } = await serving.next("failed");
    assert.match(error!.code, /^(PEER_GONE|RDMA_STATUS)$/);
    assert.ok(performance.now() - began < GIVEN_UP_MS);
    stopped.child.kill("SIGKILL");
    await stopped.done;
    const next = await copy();
    assert.equal(next.code, 0, next.stderr);
    assert.ok(machines.isCopied);
  });

  it("ends where no packet arrives any more, on both sides, and the server lives", async () => {
    await serve({ faults: { rnic: "{ effect: lose, after: 300, count: 1000000000 }" } });
    const began = performance.now();
    assertFailed(await copy(), /PEER_GONE|RDMA_STATUS/);
    assert.ok(performance.now() - began < 2 * GIVEN_UP_MS);
    await serving.next("failed");
    assert.equal(serving.child.exitCode, null);
  });

  it("ends where the other machine's controller is pulled out, and says so", async () => {
    await serve({ faults: { nvme: "{ on: write, after: 100, effect: remove }" } });
    assertFailed(await copy(), /DEVICE_GONE: .*0000:01:00\.0/);
    assert.match((await serving.next("failed")).error!.code, /^DEVICE_GONE$/);
    // Without what it served it still answers.
    assertFailed(await copy(), /DEVICE_GONE|UNKNOWN_DEVICE/);
    assert.equal(serving.child.exitCode, null);
  });
});
