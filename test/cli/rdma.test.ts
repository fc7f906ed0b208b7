import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { bin, p2pmem, start, type CommandResult } from "../support/command.js";
import { rdmaReport } from "../support/rdma-schema.js";

const CARD = "0000:05:00.0";
const NIC = "0000:06:00.0";

const rdma = (...args: string[]): Promise<CommandResult> =>
  p2pmem("rdma", ...args, "--platform", "loopback");

/** In perftest's words. */
const TESTS = ["write", "read", "send"].flatMap((verb) =>
  ["bw", "lat"].map((measure) => [verb, measure] as const),
);

describe("p2pmem rdma", function () {
  this.timeout(120_000);

  describe("with both sides in one process", () => {
    for (const [verb, measure] of TESTS)
      it(`measures ${verb} ${measure}, and has compared the data`, async () => {
        const { code, stdout, stderr } = await rdma(
          ...[verb, measure, "-s", "1000", "-n", "100", "--output-format", "json"],
        );
        assert.equal(code, 0, stderr);
        const report = rdmaReport.parse(JSON.parse(stdout));
        assert.deepEqual([report.role, report.device, report.port], ["in-process", "rnic0", 1]);
        assert.equal(report.mtu, 4096);
        const both = [...report.results, ...report.server_results!];
        assert.equal(both.length, 2);
        for (const row of both) {
          assert.deepEqual([row.bytes, row.iterations], [1000, 100]);
          assert.equal(row.bw_bytes !== null, measure === "bw");
          assert.equal(row.lat_ns !== null, measure === "lat");
          if (row.bw_peak_bytes !== null) assert.ok(row.bw_peak_bytes >= row.bw_bytes! * 0.999);
          if (row.lat_ns === null) continue;
          const { min, typical, mean, max, percentile } = row.lat_ns;
          assert.ok(min! <= typical! && min! <= mean && mean <= max!);
          assert.ok(percentile["99"]! <= percentile["99.9"]! && percentile["99.9"]! <= max!);
        }
        const [client, server] = both.map(({ verified }) => verified);
        assert.equal(client, verb === "read" || measure === "lat" ? true : null);
        assert.equal(server, verb !== "read" ? true : null);
      });

    it("prints perftest's columns, a line for each size", async () => {
      const bandwidth = await rdma("write", "bw", "-a", "-n", "5");
      assert.equal(bandwidth.code, 0, bandwidth.stderr);
      const [, about, , header, ...rows] = bandwidth.stdout.trimEnd().split("\n");
      assert.match(
        about!,
        /^RDMA write bandwidth, 2 to 8m, 5 iterations, depth 128 on 1 queue pair/,
      );
      assert.match(
        header!,
        /^ #bytes +#iterations +BW peak\[MiB\/sec\] +BW average\[MiB\/sec\] +MsgRate\[Mpps\]$/,
      );
      assert.deepEqual(
        rows.map((row) => Number(row.trim().split(/ +/)[0])),
        Array.from({ length: 23 }, (_, n) => 2 ** (n + 1)),
      );
      for (const row of rows) assert.match(row, /^ \d+ +5( +\d+\.\d{2}){2} +\d+\.\d{6}$/);
      const latency = await rdma("send", "lat", "-n", "50");
      assert.match(
        latency.stdout,
        /#iterations +t_min\[usec\] +t_max\[usec\] +t_typical\[usec\] +t_avg\[usec\] +t_stdev\[usec\] +99% percentile\[usec\] +99.9% percentile\[usec\]\n 2 +50( +\d+\.\d{2}){7}\n$/,
      );
    });

    it("measures for a time, in Gb/s, on several queue pairs", async () => {
      const args = ["-D", "1", "-q", "3", "-t", "16", "-s", "4k", "--report_gbits"];
      const { code, stdout, stderr } = await rdma("send", "bw", ...args);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /BW peak\[Gb\/sec\] +BW average\[Gb\/sec\]/);
      // No peak is looked for then.
      assert.match(stdout, /\n 4096 +\d+ +\? +\d+\.\d{3} +\d+\.\d{6}\n$/);
      const latency = await rdma("read", "lat", "-D", "1");
      assert.equal(latency.code, 0, latency.stderr);
      assert.match(
        latency.stdout,
        /t_avg\[usec\] +tps average\n 2 +\d+ +\d+\.\d{2} +\d+\.\d{2}\n$/,
      );
    });

    it("has the messages in the memory of a device, and on demand", async () => {
      for (const [mr, name] of [
        [`p2pmem:${CARD}`, `${CARD}/bar2`],
        [`p2pmem:${NIC}/dm`, `${NIC}/dm`],
        ["odp", "odp"],
      ] as const) {
        const { code, stdout, stderr } = await rdma(
          ...["write", "bw", "-n", "200", "--mr", mr, "--output-format", "json"],
        );
        assert.equal(code, 0, stderr);
        const { memory, server_results: server } = rdmaReport.parse(JSON.parse(stdout));
        assert.equal(memory, name);
        assert.equal(
          server![0]!.verified,
          mr === "odp" ? true : null,
          "the CPU leaves a BAR alone",
        );
      }
      const any = await rdma("read", "bw", "-n", "50", "--mr", "p2pmem");
      assert.equal(any.code, 0, any.stderr);
      assert.match(any.stdout, /memory 0000:0\d:00\.0\/\w+/);
    });

    it("sends nothing inline from the memory of a device, whose bytes the CPU leaves alone", async () => {
      const { code, stderr } = await rdma("send", "lat", "-n", "50", "--mr", "p2pmem");
      assert.equal(code, 0, stderr);
      const told = await rdma("send", "lat", "-n", "50", "-I", "64", "--mr", "p2pmem");
      assert.match(told.stderr, /^p2pmem: BAD_ARGUMENT: [^\n]+inline[^\n]+\n$/);
    });

    it("writes CSV", async () => {
      const { stdout } = await rdma("write", "bw", "-n", "5", "--output-format", "csv");
      const [header, row] = stdout.split("\r\n");
      assert.match(header!, /^version,platform,verb,measure,role,/);
      assert.match(row!, /,loopback,write,bw,in-process,rnic0,host,1,128,4096,65536,5,/);
    });
  });

  describe("with the sides in two processes", () => {
    let directory: string;
    let machines: { listen: string; connect: string };
    before(() => {
      directory = mkdtempSync(path.join(tmpdir(), "p2pmem-rdma-"));
      const machineFile = (role: string): string => {
        const file = path.join(directory, `${role}.yaml`);
        writeFileSync(file, `root_ports: [{ device: rnic, wire: { ${role}: wire.socket } }]\n`);
        return file;
      };
      machines = { listen: machineFile("listen"), connect: machineFile("connect") };
    });
    after(() => {
      rmSync(directory, { recursive: true });
    });

    /** A server on a port of its own, which it is asked for. */
    const serve = async (...args: string[]) => {
      const server = start("rdma", ...args, "-p", "0", "--machine", machines.listen);
      let text = "";
      const port = await new Promise<string>((resolve, reject) => {
        server.child.stderr!.on("data", (piece: string) => {
          const found = /waiting for a client at port (\d+)\n/.exec((text += piece))?.[1];
          if (found !== undefined) resolve(found);
        });
        void server.done.then(({ stderr }) => {
          reject(new Error(`it ended: ${stderr}`));
        });
      });
      return { ...server, port };
    };
    const connect = (port: string, ...args: string[]) =>
      start("rdma", ...args, "127.0.0.1", "-p", port, "--machine", machines.connect);

    for (const [verb, measure] of TESTS)
      it(`measures ${verb} ${measure}, and both sides say so`, async () => {
        const args = [verb, measure, "-s", "64", "-n", "200", "--output-format", "json"];
        const server = await serve(...args);
        const ended = await Promise.all([connect(server.port, ...args).done, server.done]);
        const [client, there] = ended.map(({ code, stdout, stderr }) => {
          assert.equal(code, 0, stderr);
          return rdmaReport.parse(JSON.parse(stdout));
        });
        assert.deepEqual([client!.role, there!.role], ["client", "server"]);
        for (const { results, server_results: other } of [client!, there!]) {
          assert.equal(other, null);
          assert.deepEqual([results[0]!.bytes, results[0]!.iterations], [64, 200]);
        }
        // Who had nothing to do has the other's figures.
        if (verb === "read" || (verb === "write" && measure === "bw"))
          assert.equal(there!.results[0]!.runtime_ns, client!.results[0]!.runtime_ns);
      });

    it("ends both sides by time, and says which MTU both have", async () => {
      const args = ["send", "lat", "-D", "0.5"];
      const server = await serve(...args, "-m", "1024");
      const client = connect(server.port, ...args, "-m", "2048");
      const ended = await Promise.all([client.done, server.done]);
      for (const [index, { code, stdout, stderr }] of ended.entries()) {
        assert.equal(code, 0, stderr);
        assert.match(
          stdout,
          index === 0 ? /, rnic0, MTU 1024, not 2048, client\n/ : /, MTU 1024, s/,
        );
        assert.match(stdout, /tps average\n 2 +\d+ /);
      }
    });

    it("refuses what the other side was not told, on both", async () => {
      for (const [options, code] of [
        [["-s", "4k"], "SIZE_MISMATCH"],
        [["-n", "77"], "TEST_MISMATCH"],
      ] as const) {
        const server = await serve("write", "bw", "-n", "50");
        const client = connect(server.port, "write", "bw", "-n", "50", ...options);
        const ended = await Promise.all([client.done, server.done]);
        for (const { stderr, code: exit } of ended) {
          assert.match(stderr, new RegExp(`p2pmem: ${code}: [^\n]+; hint: [^\n]+\n$`));
          assert.equal(exit, 1);
        }
      }
    });

    for (const [who, signal] of [
      ["client", "SIGKILL"],
      ["server", "SIGKILL"],
      ["server", "SIGINT"],
    ] as const)
      it(`ends soon when the ${who} is ended by ${signal} in the middle`, async () => {
        for (const test of [
          ["write", "bw"],
          ["send", "lat"],
        ]) {
          const args = [...test, "-a", "-n", "2000"];
          const server = await serve(...args);
          const client = connect(server.port, ...args);
          // The first of 23 sizes is done.
          let shown = "";
          while (!shown.includes("\n 2 "))
            shown += String((await once(client.child.stdout!, "data"))[0]);
          const [victim, other] = who === "client" ? [client, server] : [server, client];
          const began = performance.now();
          victim.child.kill(signal);
          const { code, stderr } = await other.done;
          assert.equal(code, 1);
          assert.match(stderr, /p2pmem: (PEER_GONE|RDMA_STATUS): [^\n]+\n$/);
          assert.ok(performance.now() - began < 15_000);
          assert.equal((await victim.done).code, signal === "SIGKILL" ? null : 130);
        }
      });

    it("goes on waiting after a stranger", async () => {
      const args = ["write", "bw", "-n", "50"];
      const server = await serve(...args);
      const stranger = createConnection(Number(server.port), "127.0.0.1");
      stranger.on("error", () => undefined).resume();
      stranger.write("GET / HTTP/1.1\r\n\r\n");
      await new Promise((resolve) => stranger.once("close", resolve));
      const ended = await Promise.all([connect(server.port, ...args).done, server.done]);
      assert.deepEqual(
        ended.map(({ code }) => code),
        [0, 0],
      );
    });

    it("says that nobody listens, and that a port has no link", async () => {
      const args = ["-p", "1", "--timeout", "0.2", "--machine", machines.connect];
      const alone = await p2pmem("rdma", "write", "bw", "127.0.0.1", ...args);
      assert.match(alone.stderr, /^p2pmem: PORT_DOWN: [^\n]+; hint: [^\n]+\n$/);
      // Whose wire is there.
      const server = await serve("write", "bw");
      const nobody = await connect("1", "write", "bw").done;
      server.child.kill("SIGINT");
      await server.done;
      assert.match(nobody.stderr, /^p2pmem: NO_ROUTE: [^\n]+; hint: nobody listens there[^\n]+\n$/);
    });
  });

  describe("refuses in one line", () => {
    const mistakes: [string, string, number, string[]][] = [
      ["a device that is not there", "UNKNOWN_DEVICE", 1, ["write", "bw", "-d", "mlx5_9"]],
      ["a port that is not there", "NO_PORT", 1, ["write", "bw", "-i", "3"]],
      ["a GID that is not there", "NO_GID", 1, ["write", "bw", "-x", "9"]],
      ["a machine without a NIC", "NO_RDMA_DEVICE", 1, ["read", "lat", "--machine", "default"]],
      ["a message of nothing", "BAD_SIZE", 2, ["write", "bw", "-s", "0"]],
      ["too few messages", "BAD_ARGUMENT", 2, ["write", "bw", "-n", "4"]],
      ["all sizes by time", "BAD_ARGUMENT", 2, ["write", "bw", "-a", "-D", "5"]],
      ["a size and all sizes", "BAD_ARGUMENT", 2, ["write", "bw", "-a", "-s", "64"]],
      ["messages and a time", "BAD_ARGUMENT", 2, ["write", "bw", "-n", "5", "-D", "5"]],
      ["a latency of several queue pairs", "BAD_ARGUMENT", 2, ["write", "lat", "-q", "2"]],
      ["an MTU that is none", "BAD_ARGUMENT", 2, ["write", "bw", "-m", "1500"]],
      ["a TCP port that is none", "BAD_ARGUMENT", 2, ["write", "bw", "-p", "70000"]],
      ["memory that is none", "BAD_ARGUMENT", 2, ["write", "bw", "--mr", "gpu"]],
      ["both sides here and a host", "BAD_ARGUMENT", 2, ["write", "bw", "h", "--in-process"]],
      ["a host that no wire leads to", "BAD_ARGUMENT", 2, ["write", "bw", "192.0.2.1"]],
      [
        "a device's memory where the CPU looks",
        "BAD_ARGUMENT",
        2,
        ["write", "lat", "--mr", "p2pmem"],
      ],
      [
        "more than a provider has",
        "NO_ROOM",
        1,
        ["write", "bw", "-s", "512m", "--mr", `p2pmem:${CARD}`],
      ],
      [
        "more memory than the device registers, of which nobody allocates any",
        "REGION_TOO_LARGE",
        1,
        ["write", "bw", "-s", "1g", "-q", "40"],
      ],
      ["more queue pairs than the device has", "RDMA_LIMIT", 1, ["write", "bw", "-q", "600"]],
      ["something else to measure", "BAD_ARGUMENT", 2, ["write", "iops"]],
    ];
    for (const [title, code, exit, args] of mistakes)
      it(title, async () => {
        const result = await rdma(...args);
        assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`));
        assert.equal(result.code, exit);
      });

    it("a device that this machine has not, rather than take the loopback machine's", async () => {
      for (const args of [
        ["write", "bw", "-d", "mlx5_9"],
        ["write", "bw", "192.0.2.1", "-d", "mlx5_9"],
      ]) {
        const { code, stdout, stderr } = await p2pmem("rdma", ...args);
        // Without libibverbs nobody knows which there are.
        assert.match(stderr, /^p2pmem: (UNKNOWN_DEVICE: there is no RDMA device mlx5_9|NO_VERBS)/);
        assert.match(stderr, /; hint: [^\n]+\n$/);
        assert.deepEqual([code, stdout], [1, ""]);
      }
    });

    it("memory that has room for one side, but not for both", async () => {
      const args = ["write", "bw", "-s", "80m", "-n", "5", "--mr"];
      for (const mr of ["p2pmem", `p2pmem:${CARD}`]) {
        const { code, stderr } = await rdma(...args, mr);
        assert.match(
          stderr,
          /^p2pmem: NO_ROOM: the messages of both sides in this process take 320 MiB: [^\n]+ 256 MiB [^\n]+; hint: [^\n]+--size[^\n]+\n$/,
        );
        assert.equal(code, 1);
      }
    });

    it("a file that is no dma-buf", async () => {
      const file = openSync(bin, "r");
      try {
        const args = [bin, "rdma", "write", "bw", "--mr", "dmabuf:3", "--machine", "rdma"];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe", file] });
        let stderr = "";
        child.stderr!.on("data", (text: Buffer) => (stderr += String(text)));
        await new Promise((resolve) => child.on("close", resolve));
        assert.match(stderr, /^p2pmem: BAD_DMABUF: [^\n]+\n$/);
      } finally {
        closeSync(file);
      }
    });
  });

  it("shows the devices: a table, JSON, CSV", async () => {
    const { stdout } = await rdma("devices");
    assert.match(
      stdout,
      /\nrnic0 +0000:06:00\.0 +1 +active +ethernet +100 +4096 +1: ::ffff:10\.77\./,
    );
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
    const json = JSON.parse((await rdma("devices", "--output-format", "json")).stdout) as {
      devices: { name: string; memory_bytes: number; ports: { gids: object[] }[] }[];
    };
    const [device] = json.devices;
    assert.deepEqual([device!.name, device!.memory_bytes], ["rnic0", 64 * 2 ** 20]);
    assert.deepEqual(
      device!.ports.map(({ gids }) => gids.length),
      [2, 2],
    );
    const csv = await rdma("devices", "--output-format", "csv");
    assert.equal(csv.stdout.trimEnd().split("\r\n").length, 5);
    const none = await rdma("devices", "--machine", "default");
    assert.match(none.stdout, /\nno RDMA devices\n$/);
  });
});
