import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { p2pmem } from "../support/command.js";
import { SysfsTree } from "../support/sysfs-tree.js";
import { topologyReport } from "../support/topology-schema.js";

const LOOPBACK = ["topology", "--platform", "loopback"];
const PREFETCHABLE = [
  "0x0000000000000000 0x0000000000000000 0x0000000000000000",
  "0x0000000000000000 0x0000000000000000 0x0000000000000000",
  "0x0000004000000000 0x0000004003ffffff 0x000000000014220c\n",
].join("\n");

describe("p2pmem topology", () => {
  it("shows the loopback machine's tree and matrix in 100 columns", async () => {
    const { code, stdout, stderr } = await p2pmem(...LOOPBACK);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^the loopback machine "default", as asked\n\nCPU /);
    assert.match(stdout, /\\- 0000:03:00\.0 {2}1b36:0010 NVMe controller, vfio-pci, group 2\n/);
    assert.match(stdout, /16 GT\/s x4, MPS 128, RO-, BAR0 16 KiB, BAR2 64 MiB pref\n/);
    assert.match(stdout, /\n {2}client +0000:03:00\.0 +0000:05:00\.0\n/);
    assert.match(stdout, /\n {2}0000:04:00\.0 +4 BUS/);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  });

  it("is JSON by --json as by --output-format json", async () => {
    const [short, long] = await Promise.all([
      p2pmem(...LOOPBACK, "--json"),
      p2pmem(...LOOPBACK, "--output-format", "json"),
    ]);
    assert.equal(short.stdout, long.stdout);
    const { source, functions, matrix } = topologyReport.parse(JSON.parse(short.stdout));
    assert.deepEqual(source, { kind: "loopback", path: null, kernel: null });
    assert.equal(functions.length, 11);
    assert.deepEqual(
      matrix.map(({ provider, client, distance }) => [provider, client, distance]),
      [
        ["0000:03:00.0", "0000:03:00.0", 0],
        ["0000:03:00.0", "0000:04:00.0", 4],
        ["0000:03:00.0", "0000:06:00.0", 6],
        ["0000:05:00.0", "0000:03:00.0", 4],
        ["0000:05:00.0", "0000:04:00.0", 4],
        ["0000:05:00.0", "0000:06:00.0", 6],
      ],
    );
  });

  it("has a CSV row for each pair, and writes to a file", async () => {
    const tree = new SysfsTree([]);
    try {
      const file = join(tree.root, "matrix.csv");
      const result = await p2pmem(...LOOPBACK, "--output-format", "csv", "--output", file);
      assert.deepEqual(result, { code: 0, stdout: "", stderr: "" });
      const rows = readFileSync(file, "utf8").trimEnd().split("\r\n");
      assert.equal(rows.length, 1 + 6);
      assert.match(rows[0]!, /^provider,client,distance,route,/);
    } finally {
      tree.delete();
    }
  });

  it("takes the named providers and clients, whatever they are, each once", async () => {
    const { stdout } = await p2pmem(
      ...["topology", "--json", "--provider", "0000:04:00.0/bar0", "--provider", "04:00.0"],
      ...["--client", "05:00.0", "--client", "06:00.0"],
    );
    const { matrix } = topologyReport.parse(JSON.parse(stdout));
    assert.deepEqual(
      matrix.map(({ provider, client }) => [provider, client]),
      [
        ["0000:04:00.0", "0000:05:00.0"],
        ["0000:04:00.0", "0000:06:00.0"],
      ],
    );
  });

  it("tells an ACS machine from one without", async () => {
    const enabled = async (machine: string): Promise<string[] | undefined> => {
      const { stdout } = await p2pmem("topology", "--json", "--machine", machine);
      const { functions } = topologyReport.parse(JSON.parse(stdout));
      return functions.find(({ address }) => address === "0000:02:00.0")?.acs?.enabled;
    };
    assert.deepEqual(await enabled("default"), []);
    assert.deepEqual(await enabled("acs"), ["sv", "rr", "cr", "uf"]);
  });

  describe("of a capture", () => {
    let tree: SysfsTree;

    beforeEach(() => {
      tree = new SysfsTree([
        { path: "pci0000:00/0000:00:01.0", isBridge: true, driver: "pcieport", group: 1 },
        { path: "pci0000:00/0000:00:01.0/0000:01:00.0", resource: PREFETCHABLE, group: 2 },
      ]);
    });

    afterEach(() => {
      tree.delete();
    });

    it("needs neither addon nor VFIO, and says what it is of", async () => {
      const text = await p2pmem("topology", "--from", tree.root);
      assert.equal(text.code, 0, text.stderr);
      assert.match(text.stdout.replaceAll("\n", " "), new RegExp(`captured in ${tree.root} `));
      assert.match(text.stdout, /\nkernel {2}6\.12\.0-test\n/);
      const json = await p2pmem("topology", "--from", tree.root, "--json");
      const { source, functions, matrix } = topologyReport.parse(JSON.parse(json.stdout));
      assert.deepEqual(source, { kind: "capture", path: tree.root, kernel: "6.12.0-test" });
      assert.deepEqual([functions.length, matrix.length], [2, 1]);
    });

    it("of a machine without PCI devices is short", async () => {
      const empty = new SysfsTree([]);
      try {
        const { code, stdout } = await p2pmem("topology", "--from", empty.root);
        assert.equal(code, 0);
        assert.match(stdout, /\nno PCI devices\n\nNo provider: [^\n]+\n$/);
      } finally {
        empty.delete();
      }
    });

    const mistakes: [string, number, string[]][] = [
      ["UNKNOWN_DEVICE", 1, ["--provider", "0000:44:00.0"]],
      ["UNKNOWN_DEVICE", 1, ["--client", "0000:44:00.0"]],
      ["BAD_ENDPOINT", 2, ["--client", "0000:00:01.0"]],
      ["BAD_ENDPOINT", 2, ["--client", "nvme0"]],
      ["BAD_ENDPOINT", 2, ["--provider", "0000:01:00.0/bar9"]],
      ["BAD_ARGUMENT", 2, ["--machine", "acs"]],
      ["BAD_ARGUMENT", 2, ["--platform", "vfio"]],
      ["BAD_ARGUMENT", 2, ["--json", "--output-format", "csv"]],
      ["BAD_ARGUMENT", 2, ["--from", ""]],
      ["BAD_CAPTURE", 2, ["--from", "/nonexistent"]],
    ];
    for (const [expected, status, args] of mistakes)
      it(`${expected}: ${args.join(" ")}`, async () => {
        const { code, stdout, stderr } = await p2pmem("topology", "--from", tree.root, ...args);
        assert.equal(code, status);
        assert.equal(stdout, "");
        assert.match(stderr, new RegExp(`^p2pmem: ${expected}: [^\n]+; hint: [^\n]+\n$`));
      });
  });
});
