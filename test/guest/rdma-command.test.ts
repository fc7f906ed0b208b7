/** What `p2pmem rdma` says where the kernel or libibverbs has not what it needs. Inside the lab only. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { renameSync } from "node:fs";
import { p2pmem } from "../support/command.js";
import { rdmaReport } from "../support/rdma-schema.js";

/** On this machine, not on the loopback machine, which has a NIC; nobody listens at that port. */
const PLATFORM = ["--platform", "vfio"];
const BANDWIDTH = ["rdma", "write", "bw", "127.0.0.1", "-p", "18599", ...PLATFORM];

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/** One line with the code. */
async function assertFails(args: readonly string[], code: string, says: RegExp): Promise<void> {
  const result = await p2pmem(...args);
  assert.equal(result.code, 1, result.stdout + result.stderr);
  assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`));
  assert.match(result.stderr, says);
}

describe("p2pmem rdma, where something is missing", () => {
  it("says which device, port or GID there is not, or that nobody listens", async () => {
    await assertFails([...BANDWIDTH, "-d", "mlx5_0"], "UNKNOWN_DEVICE", /mlx5_0.*; hint: .*rxe0/);
    await assertFails([...BANDWIDTH, "-i", "2"], "NO_PORT", /rxe0 has no port 2; hint: .*port 1/);
    await assertFails([...BANDWIDTH, "-x", "200"], "NO_GID", /200/);
    await assertFails(BANDWIDTH, "NO_ROUTE", /18599/);
  });

  it("means this machine where nobody says which: by itself, for its device, and for a host", async () => {
    const { stdout, stderr, code } = await p2pmem(..."rdma write bw -n 5 --in-process".split(" "));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^this machine's devices[^\n]*\nRDMA [^\n]* rxe0, MTU \d+, in-process\n/);
    await assertFails("rdma write bw -d mlx5_0".split(" "), "UNKNOWN_DEVICE", /hint: .*rxe0/);
    await assertFails("rdma write bw 127.0.0.1 -p 18599".split(" "), "NO_ROUTE", /18599/);
  });

  it("says that a port is down, and how it comes up", async () => {
    run("ip", "link", "set", "dummy0", "down");
    try {
      await assertFails([...BANDWIDTH, "-i", "1"], "PORT_DOWN", /interface up/);
    } finally {
      run("ip", "link", "set", "dummy0", "up");
    }
  });

  it("says that there is no RDMA device", async () => {
    run("rdma", "link", "delete", "rxe0");
    try {
      await assertFails(BANDWIDTH, "NO_RDMA_DEVICE", /hint: p2pmem doctor/);
    } finally {
      run("rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "dummy0");
    }
  });

  it("says that there is no libibverbs, and where it comes from", async () => {
    const { stdout } = spawnSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
    const library = /libibverbs\.so\.1 .* => (\S+)/.exec(stdout)![1]!;
    renameSync(library, `${library}.away`);
    try {
      for (const args of [BANDWIDTH, ["rdma", "devices", ...PLATFORM]])
        await assertFails(args, "NO_VERBS", /libibverbs\.so\.1.*apt-get install libibverbs1/);
    } finally {
      renameSync(`${library}.away`, library);
    }
  });

  it("measures messages in on-demand memory only where soft-RoCE moves the right bytes", async () => {
    const test = (...args: string[]) => [
      "rdma",
      ...args,
      "-n",
      "20",
      "--mr",
      "odp",
      "--in-process",
    ];
    for (const args of ["write bw -s 64", "write bw -s 64k -m 1024", "send lat -s 8k -m 2048"])
      await assertFails(test(...args.split(" ")), "NO_ODP", /rxe0 moves wrong bytes.*--mr host/);
    for (const args of ["write bw -s 64k", "read bw -s 4k", "send lat -s 64"]) {
      const result = await p2pmem(...test(...args.split(" ")), "--output-format", "json");
      assert.equal(result.code, 0, result.stderr);
      const { results, server_results: server } = rdmaReport.parse(JSON.parse(result.stdout));
      assert.ok([...results, ...server!].some(({ verified }) => verified === true));
    }
  });

  it("says that soft-RoCE reaches no memory of a device", async () => {
    await assertFails([...BANDWIDTH, "--mr", `p2pmem:${process.env.CARD}`], "NO_DMABUF", /rxe0/);
  });
});
