/** p2pmem serve and copy, each in a process and on a machine of its own. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type { ChildProcess } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface, type Interface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { p2pmem, start, type CommandResult } from "../support/command.js";
import { WIRED_NVME, WiredMachines } from "../support/wired-machines.js";
import type { RemoteCopyReport } from "#lib/cli/output/remote-copy.js";

const MIB = 1 << 20;

interface Served {
  event: string;
  url?: string;
}

class Serving {
  readonly child: ChildProcess;
  readonly done: Promise<CommandResult>;
  readonly #lines: Interface;
  readonly #events: Served[] = [];
  #heard: (() => void) | undefined;

  constructor(machines: WiredMachines, ...args: string[]) {
    const { child, done } = start(
      ...["serve", ...machines.args("server"), `scratch=${WIRED_NVME}`],
      ...["--output-format", "json", ...args],
    );
    this.child = child;
    this.done = done;
    this.#lines = createInterface({ input: child.stdout! });
    this.#lines.on("line", (line) => {
      this.#events.push(JSON.parse(line) as Served);
      this.#heard?.();
    });
    void done.then(() => this.#heard?.());
  }

  /** The next one of this kind. */
  async next(kind: string): Promise<Served> {
    for (;;) {
      const event = this.#events.shift();
      if (event?.event === kind) return event;
      if (event !== undefined) continue;
      if (this.child.exitCode !== null) assert.fail((await this.done).stderr);
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
  }

  async stop(signal: NodeJS.Signals): Promise<CommandResult> {
    this.child.kill(signal);
    return this.done;
  }
}

describe("p2pmem serve and copy", function () {
  this.timeout(300_000);
  let machines: WiredMachines;
  let serving: Serving;
  let url: string;

  const serve = async (...args: string[]): Promise<void> => {
    serving = new Serving(machines, "--listen", "127.0.0.1:0", ...args);
    url = (await serving.next("served")).url!;
  };
  const copyArgs = (...args: string[]): string[] => ["copy", ...machines.args("client"), ...args];
  const copy = (...args: string[]): Promise<CommandResult> => p2pmem(...copyArgs(...args));

  afterEach(async () => {
    await serving.stop("SIGKILL");
    machines.close();
  });

  it("copy with a key, say what both ends did, and end with Ctrl-C", async () => {
    machines = new WiredMachines(8 * MIB);
    const key = machines.path("key");
    writeFileSync(key, "0123456789abcdef0123456789abcdef\n", { mode: 0o600 });
    await serve("--allow-write", "--key-file", key);
    const json = ["--key-file", key, "--output-format", "json"];
    const { code, stdout, stderr } = await copy(WIRED_NVME, url, ...json);
    assert.equal(code, 0, stderr);
    assert.ok(machines.isCopied);
    const [result] = (JSON.parse(stdout) as RemoteCopyReport).results;
    assert.deepEqual(
      [result!.bytes, result!.src, result!.dst, result!.ends.src.staging, result!.ends.dst.staging],
      [8 * MIB, `${WIRED_NVME}/1`, url, "host", "host"],
    );
    assert.match(result!.ends.dst.reason, /no device near provides memory/);
    const csv = await copy(
      url,
      WIRED_NVME,
      "--key-file",
      key,
      "--verify=none",
      "--output-format",
      "csv",
    );
    assert.equal(csv.code, 0, csv.stderr);
    const [head, row] = csv.stdout.split("\r\n").map((line) => line.split(","));
    assert.equal(row![head!.indexOf("verify_blocks")], "");
    assert.equal(row![head!.indexOf("bytes")], String(8 * MIB));

    const stranger = await copy(WIRED_NVME, url);
    assert.equal(stranger.code, 1);
    assert.match(stranger.stderr, /^p2pmem: BAD_KEY: [^\n]+--key-file[^\n]+\n$/);
    const garbage = connect({ host: "127.0.0.1", port: Number(new URL(url).port) });
    garbage.on("error", () => undefined).end("GET / HTTP/1.1\r\n\r\n");
    await serving.next("done");
    await serving.next("done");
    const ended = await serving.stop("SIGINT");
    assert.equal(ended.code, 130, ended.stderr);
  });

  it("resume when the client is killed, ten times, with its journal", async () => {
    machines = new WiredMachines(48 * MIB, 3);
    await serve("--allow-write");
    const args = [WIRED_NVME, url, "--bs", "64k", "--iodepth", "2", "--staging", "host"];
    args.push("--resume", machines.path("journal"), "--output-format", "json");
    const waits = Array.from({ length: 10 }, () => randomInt(1200));
    console.log(`      killed after ${waits.join(", ")} ms`);
    for (const wait of waits) {
      const { child, done } = start(...copyArgs(...args));
      await Promise.race([serving.next("begun"), done]);
      await delay(wait);
      child.kill("SIGKILL");
      await done;
    }
    const { code, stdout, stderr } = await copy(...args);
    assert.equal(code, 0, stderr);
    const [result] = (JSON.parse(stdout) as RemoteCopyReport).results;
    assert.equal(result!.resumed_bytes + result!.bytes, 48 * MIB);
    assert.ok(machines.isCopied);
    assert.ok(!existsSync(machines.path("journal")));
    assert.equal(serving.child.exitCode, null, "the server lives on");
  });

  it("resume when the server is killed, ten times", async () => {
    machines = new WiredMachines(48 * MIB, 3);
    await serve("--allow-write");
    const { port } = new URL(url);
    const args = [WIRED_NVME, url, "--bs", "64k", "--iodepth", "2", "--reconnect", "100"];
    const { child, done } = start(...copyArgs(...args, "--output-format", "json"));
    const waits = Array.from({ length: 10 }, () => randomInt(1200));
    console.log(`      killed after ${waits.join(", ")} ms`);
    let killed = 0;
    for (const wait of waits) {
      await Promise.race([serving.next("begun"), done]);
      await Promise.race([delay(wait), done]);
      if (child.exitCode !== null) break;
      killed++;
      await serving.stop("SIGKILL");
      serving = new Serving(machines, "--allow-write", "--listen", `127.0.0.1:${port}`);
      await serving.next("served");
    }
    const { code, stdout, stderr } = await done;
    assert.equal(code, 0, stderr);
    const [result] = (JSON.parse(stdout) as RemoteCopyReport).results;
    assert.ok(killed >= 5 && result!.reconnects >= killed);
    assert.ok(machines.isCopied);
  });

  it("refuse what makes no sense, is not there, or not allowed", async () => {
    machines = new WiredMachines(MIB);
    await serve("--max-bs", "64k");
    const other = url.replace("scratch", "other");
    const nobody = "rdma://127.0.0.1:1/scratch";
    for (const [code, exit, args] of [
      ["WRITE_NOT_ALLOWED", 1, [WIRED_NVME, url, "--bs", "4k"]],
      ["NO_EXPORT", 1, [other, WIRED_NVME, "--bs", "4k"]],
      ["NO_ROUTE", 1, [WIRED_NVME, nobody]],
      ["BAD_SIZE", 2, [url, WIRED_NVME, "--bs", "128k"]],
      ["BAD_RANGE", 1, [`${url}@1m`, WIRED_NVME, "--bs", "4k"]],
      ["UNALIGNED", 1, [url, WIRED_NVME, "--bs", "1000"]],
      ["BAD_ARGUMENT", 2, [url, url]],
      ["BAD_ARGUMENT", 2, [url, WIRED_NVME, "--via", "nvme-copy"]],
      ["BAD_ARGUMENT", 2, [url, WIRED_NVME, "--jobs", "2"]],
      ["BAD_ARGUMENT", 2, [url, WIRED_NVME, "--verify=memcmp"]],
      ["BAD_ARGUMENT", 2, [WIRED_NVME, WIRED_NVME, "--staging", "host"]],
      ["BAD_KEY", 1, [url, WIRED_NVME, "--key-file", machines.path("key")]],
      ["BAD_KEY_FILE", 1, [url, WIRED_NVME, "--key-file", machines.path("none")]],
      ["BAD_ENDPOINT", 2, ["rdma://", WIRED_NVME]],
      ["BAD_JOURNAL", 1, [url, WIRED_NVME, "--bs", "4k", "--resume", machines.path("client.yaml")]],
      ["UNKNOWN_DEVICE", 1, [url, WIRED_NVME, "--bs", "4k", "--ib-dev", "mlx5_9"]],
    ] as const) {
      writeFileSync(machines.path("key"), "0123456789abcdef", { mode: 0o600 });
      const result = await copy(...args);
      assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`), args.join(" "));
      assert.equal(result.code, exit, result.stderr);
    }
    for (const [code, args] of [
      ["BAD_ARGUMENT", [WIRED_NVME, "--listen", "0.0.0.0:0"]],
      ["BAD_ARGUMENT", [WIRED_NVME, "--listen", "a:b:c"]],
      ["BAD_ARGUMENT", [WIRED_NVME, "--output-format", "csv"]],
      ["BAD_ARGUMENT", [WIRED_NVME, `${WIRED_NVME}@512k`]],
      ["BAD_ENDPOINT", ["x=y=z"]],
      ["NO_NAMESPACE", [`${WIRED_NVME}/9`]],
      ["BAD_RANGE", [`${WIRED_NVME}@1g`]],
      ["LISTEN", [WIRED_NVME, "--listen", `127.0.0.1:${new URL(url).port}`]],
    ] as const) {
      const result = await p2pmem("serve", ...machines.args("client"), ...args);
      assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`), args.join(" "));
    }
  });
});
