/** p2pmem serve and copy, each in a process and on a machine of its own. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { p2pmem, start, type CommandResult } from "../support/command.js";
import { Serving } from "../support/serving.js";
import { WiredMachines } from "../support/wired-machines.js";
import type { RemoteCopyReport } from "#lib/cli/output/remote-copy.js";

const MIB = 1 << 20;

describe("p2pmem serve and copy", function () {
  this.timeout(300_000);
  let machines: WiredMachines;
  let serving: Serving;
  let url: string;

  const serve = async (...args: string[]): Promise<void> => {
    serving = await Serving.start(...machines.serveArgs(), "--listen", "127.0.0.1:0", ...args);
    ({ url } = serving);
  };
  const copy = (...args: string[]): Promise<CommandResult> =>
    p2pmem("copy", ...machines.args("client"), ...args);

  afterEach(async () => {
    await serving.stop("SIGKILL");
    machines.close();
  });

  it("copy with a key, say what both ends did, and end with Ctrl-C", async () => {
    machines = new WiredMachines(8 * MIB);
    const { nvme } = machines;
    const key = machines.path("key");
    writeFileSync(key, "0123456789abcdef0123456789abcdef\n", { mode: 0o600 });
    await serve("--allow-write", "--key-file", key);
    const json = ["--key-file", key, "--output-format", "json"];
    const { code, stdout, stderr } = await copy(nvme, url, ...json);
    assert.equal(code, 0, stderr);
    assert.ok(machines.isCopied);
    const [result] = (JSON.parse(stdout) as RemoteCopyReport).results;
    assert.deepEqual(
      [result!.bytes, result!.src, result!.dst, result!.ends.src.staging, result!.ends.dst.staging],
      [8 * MIB, `${nvme}/1`, url, "host", "host"],
    );
    assert.match(result!.ends.dst.reason, /no device near provides memory/);
    const csv = await copy(url, nvme, "--key-file", key, "--verify=none", "--output-format", "csv");
    assert.equal(csv.code, 0, csv.stderr);
    const [head, row] = csv.stdout.split("\r\n").map((line) => line.split(","));
    assert.equal(row![head!.indexOf("verify_blocks")], "");
    assert.equal(row![head!.indexOf("bytes")], String(8 * MIB));

    const stranger = await copy(nvme, url);
    assert.equal(stranger.code, 1);
    assert.match(stranger.stderr, /^p2pmem: BAD_KEY: [^\n]+--key-file[^\n]+\n$/);
    const garbage = connect({ host: "127.0.0.1", port: Number(new URL(url).port) });
    garbage.on("error", () => undefined).end("GET / HTTP/1.1\r\n\r\n");
    await serving.next("done");
    await serving.next("done");
    const ended = await serving.stop("SIGINT");
    assert.equal(ended.code, 130, ended.stderr);
  });

  it("report a copy as complete whose server does not close, and which Ctrl-C ends then", async () => {
    machines = new WiredMachines(MIB);
    const { nvme } = machines;
    await serve("--allow-write");
    let onWaiting!: () => void;
    const waiting = new Promise<void>((resolve) => (onWaiting = resolve));
    const between = await betweenUntilClose(Number(new URL(url).port), onWaiting);
    const { port } = between.address() as AddressInfo;
    const { child, done } = start(
      ...["copy", ...machines.args("client"), nvme, `rdma://127.0.0.1:${port}/scratch`],
      ...["--bs", "64k", "--peer-timeout", "60", "--output-format", "json"],
    );
    await Promise.race([waiting, done]);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await done;
    between.close();
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as RemoteCopyReport).results[0]!.bytes, MIB);
    assert.ok(machines.isCopied);
  });

  it("refuse what makes no sense, is not there, or not allowed", async () => {
    machines = new WiredMachines(MIB);
    const { nvme } = machines;
    await serve("--max-bs", "64k");
    const other = url.replace("scratch", "other");
    const nobody = "rdma://127.0.0.1:1/scratch";
    for (const [code, exit, args] of [
      ["WRITE_NOT_ALLOWED", 1, [nvme, url, "--bs", "4k"]],
      ["NO_EXPORT", 1, [other, nvme, "--bs", "4k"]],
      ["NO_ROUTE", 1, [nvme, nobody]],
      ["BAD_SIZE", 2, [url, nvme, "--bs", "128k"]],
      ["BAD_RANGE", 1, [`${url}@1m`, nvme, "--bs", "4k"]],
      ["UNALIGNED", 1, [url, nvme, "--bs", "1000"]],
      ["BAD_ARGUMENT", 2, [url, url]],
      ["BAD_ARGUMENT", 2, [url, nvme, "--via", "nvme-copy"]],
      ["BAD_ARGUMENT", 2, [url, nvme, "--jobs", "2"]],
      ["BAD_ARGUMENT", 2, [url, nvme, "--verify=memcmp"]],
      ["BAD_ARGUMENT", 2, [nvme, nvme, "--staging", "host"]],
      ["BAD_KEY", 1, [url, nvme, "--key-file", machines.path("key")]],
      ["BAD_KEY_FILE", 1, [url, nvme, "--key-file", machines.path("none")]],
      ["BAD_ENDPOINT", 2, ["rdma://", nvme]],
      ["BAD_JOURNAL", 1, [url, nvme, "--bs", "4k", "--resume", machines.path("client.yaml")]],
      ["UNKNOWN_DEVICE", 1, [url, nvme, "--bs", "4k", "--ib-dev", "mlx5_9"]],
    ] as const) {
      writeFileSync(machines.path("key"), "0123456789abcdef", { mode: 0o600 });
      const result = await copy(...args);
      assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`), args.join(" "));
      assert.equal(result.code, exit, result.stderr);
    }
    for (const [code, args] of [
      ["BAD_ARGUMENT", [nvme, "--listen", "0.0.0.0:0"]],
      ["BAD_ARGUMENT", [nvme, "--listen", "a:b:c"]],
      ["BAD_ARGUMENT", [nvme, "--output-format", "csv"]],
      ["BAD_ARGUMENT", [nvme, `${nvme}@512k`]],
      ["BAD_ENDPOINT", ["x=y=z"]],
      ["NO_NAMESPACE", [`${nvme}/9`]],
      ["BAD_RANGE", [`${nvme}@1g`]],
      ["LISTEN", [nvme, "--listen", `127.0.0.1:${new URL(url).port}`]],
    ] as const) {
      const result = await p2pmem("serve", ...machines.args("client"), ...args);
      assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`), args.join(" "));
    }
  });
});

/**
 * Passes on what both sides say, but not that the server closes. `onWaiting`: the client has been there
 * for two beats since, and so has heard all that was said before.
 */
function betweenUntilClose(target: number, onWaiting: () => void): Promise<Server> {
  const server = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port: target });
    let beats = 0;
    for (const socket of [near, far]) socket.on("error", () => undefined);
    far.pipe(near, { end: false });
    near.on("data", (piece) => {
      if (!far.readableEnded) far.write(piece);
      else if (++beats === 2) onWaiting();
    });
    near.on("close", () => far.destroy());
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve(server);
    });
  });
}
