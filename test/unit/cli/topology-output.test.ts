import assert from "node:assert/strict";
import { topologyJson } from "#lib/cli/output/topology-json.js";
import { matrixLines } from "#lib/cli/output/topology-matrix.js";
import { topologyCsv, topologyText, type TopologyView } from "#lib/cli/output/topology.js";
import { treeLines } from "#lib/cli/output/topology-tree.js";
import { wrapWords } from "#lib/cli/output/text.js";
import type { PciFunction } from "#lib/pci/function.js";
import type { MapType, PeerPath } from "#lib/pci/peer-path.js";
import { PciTree } from "#lib/pci/tree.js";
import type { RawPciFunction } from "#lib/platform.js";
import { fakeFunction, fakeSwitch, fakeTopology } from "../../support/fake-pci.js";
import { topologyReport } from "../../support/topology-schema.js";

const PREFETCH = 0x2200;
const UNSET = 0x20000000;

function flat(count: number): PciTree {
  const functions = Array.from({ length: count }, (_, index) =>
    fakeFunction({ address: `0000:${(index + 1).toString(16).padStart(2, "0")}:00.0` }),
  );
  return new PciTree(fakeTopology(functions));
}

interface Answer {
  kernel: MapType;
  vfio: MapType;
  needsProof?: boolean;
  reason?: string;
  bandwidth?: number;
}

function pathWith(answer: Answer): TopologyView["path"] {
  const { reason = "as it is", bandwidth } = answer;
  return (provider, client): PeerPath => ({
    provider,
    client,
    distance: 4,
    route: "direct",
    completionRoute: "unknown",
    routeReason: reason,
    iommu: "translates",
    kernel: { mapType: answer.kernel, reason },
    vfio: { mapType: answer.vfio, reason, needsProof: answer.needsProof ?? false },
    bottleneck: bandwidth === undefined ? null : { link: client, bandwidth },
  });
}

function view(tree: PciTree, path: TopologyView["path"]): TopologyView {
  return {
    version: "1.2.3",
    source: { kind: "capture", path: "somewhere", kernel: null },
    description: "a machine made up",
    tree,
    providers: tree.functions.slice(0, 1),
    clients: tree.functions,
    path,
  };
}

function lines(tree: PciTree, path: TopologyView["path"]): string[] {
  return matrixLines(view(tree, path));
}

describe("the topology as a tree", () => {
  const line = (raw: Partial<RawPciFunction>, facts = {}): string[] =>
    treeLines(
      new PciTree(
        fakeTopology([{ ...fakeFunction({ address: "0000:00:03.0", ...facts }), ...raw }]),
      ),
    );

  it("draws what hangs from what", () => {
    const drawn = treeLines(new PciTree(fakeTopology(fakeSwitch(0))))
      .filter((text) => /\d\d:\d\d\.\d/.test(text))
      .map((text) => text.replace(/ {2}1b36.*/, ""));
    assert.deepEqual(drawn, [
      "+- 0000:00:01.0",
      "|  \\- 0000:01:00.0",
      "|     +- 0000:02:00.0",
      "|     |  \\- 0000:03:00.0",
      "|     +- 0000:02:01.0",
      "|     |  \\- 0000:04:00.0",
      "|     \\- 0000:02:02.0",
      "|        +- 0000:05:00.0",
      "|        \\- 0000:05:00.1",
      "\\- 0000:00:02.0",
      "   \\- 0000:06:00.0",
    ]);
  });

  it("says what a function is, whose it is, and where", () => {
    const text = line({ driver: "nvme", iommuGroup: 7, numaNode: 1 })[1];
    assert.equal(text, "\\- 0000:00:03.0  1b36:0010 NVMe controller, nvme, group 7, node 1");
    const bare = line({ driver: null, iommuGroup: null })[1];
    assert.equal(bare, "\\- 0000:00:03.0  1b36:0010 NVMe controller, no driver, no IOMMU group");
    assert.match(line({ iommuDomainType: "identity" })[1] ?? "", /, group 1, IOMMU passes$/);
  });

  it("shows what a link runs at, of what it could", () => {
    const link = (speed: number | null, width: number | null, maxSpeed = 16, maxWidth = 8) =>
      line({ link: { speed, width, maxSpeed, maxWidth } })[2]?.trim().split(",")[0];
    assert.equal(link(16, 8), "16 GT/s x8");
    assert.equal(link(16, 4), "16 GT/s x4 of x8");
    assert.equal(link(8, 4), "8 of 16 GT/s x4 of x8");
    assert.equal(link(2.5, null), "no link of 16 GT/s x8");
    assert.equal(link(null, 8), "? of 16 GT/s x8");
  });

  it("shows the ACS bits that are on as machine files name them", () => {
    const acs = (control: number) => line({}, { acs: control, isBridge: true })[2]?.trim();
    assert.equal(acs(0x1d), "MPS 128, ACS sv rr cr uf");
    assert.equal(acs(0x62), "MPS 128, ACS tb ec dt");
    assert.equal(acs(0), "MPS 128, ACS off");
    assert.equal(line({}, { isBridge: true })[2]?.trim(), "MPS 128, no ACS");
  });

  it("shows memory BARs, also those that got no address", () => {
    const resources = [
      { start: 0xfe000000, size: 0x4000 },
      { start: 0, size: 0x10000000, flags: PREFETCH + UNSET },
      { start: 0x4000000000, size: 0x4000000, flags: PREFETCH },
    ];
    const text = line({}, { resources })[2]?.trim();
    assert.equal(
      text,
      "MPS 128, RO-, BAR0 16 KiB, BAR2 64 MiB pref, BAR1 256 MiB without an address",
    );
  });

  it("shows what could not be read as such, and how to read it", () => {
    const text = line({}, { configBytes: 64, isBridge: true });
    assert.equal(text[2]?.trim(), "MPS ?, ACS ?");
    assert.match(text.slice(3).join(" "), /Only 64 bytes .* of 1 function,.* run as root/);
    const short = line({}, { configBytes: 256, isBridge: true });
    assert.equal(short[2]?.trim(), "MPS 128, ACS ?");
    assert.match(short.slice(3).join(" "), /Extended configuration space .* out of reach/);
    const silent = line({ config: new Uint8Array(4096).fill(0xff) });
    assert.match(silent[1] ?? "", /1b36:0010 does not answer/);
    assert.match(silent.at(-1) ?? "", /No answer from 1 function:/);
  });

  it("says which function a domain is part of", () => {
    const port = fakeFunction({ address: "10000:00:02.0" });
    const drawn = treeLines(
      new PciTree(
        fakeTopology([
          fakeFunction({ address: "0000:17:05.5" }),
          { ...port, hostBridge: "pci10000:00", hostBridgeParent: "0000:17:05.5" },
        ]),
      ),
    );
    assert.ok(drawn.includes("pci10000:00, part of 0000:17:05.5"), drawn.join("\n"));
  });

  it("fits 100 columns, however deep the tree is and however long a name", () => {
    const deep = Array.from({ length: 12 }, (_, index) => {
      const address = (bus: number): string => `0000:0${bus.toString(16)}:00.0`;
      const parent = index === 0 ? {} : { parent: address(index - 1) };
      return {
        ...fakeFunction({ address: address(index), isBridge: true, acs: 0x7f, ...parent }),
        driver: "a-driver-with-quite-a-long-name",
        numaNode: 1,
        link: { speed: 8, width: 4, maxSpeed: 16, maxWidth: 16 },
      };
    });
    for (const text of treeLines(new PciTree(fakeTopology(deep))))
      assert.ok(text.length <= 100, text);
  });

  it("of a machine without PCI is one line", () => {
    assert.deepEqual(treeLines(new PciTree(fakeTopology([]))), ["no PCI devices"]);
  });
});

describe("the topology's matrix", () => {
  const cells: [string, Answer][] = [
    ["4 BUS 7.9", { kernel: "BUS_ADDR", vfio: "BUS_ADDR", bandwidth: 7.88e9 }],
    ["4 HOST", { kernel: "THROUGH_HOST_BRIDGE", vfio: "THROUGH_HOST_BRIDGE" }],
    [
      "4 no/HOST? 31.5",
      {
        ...{ kernel: "NOT_SUPPORTED", vfio: "THROUGH_HOST_BRIDGE" },
        ...{ needsProof: true, bandwidth: 31.5e9 },
      },
    ],
    ["4 BUS/no 7.9", { kernel: "BUS_ADDR", vfio: "NOT_SUPPORTED", bandwidth: 7.88e9 }],
    ["4 no", { kernel: "NOT_SUPPORTED", vfio: "NOT_SUPPORTED", bandwidth: 7.88e9 }],
    ["4 ?", { kernel: "UNKNOWN", vfio: "UNKNOWN", needsProof: true }],
    ["4 BUS/BUS?", { kernel: "BUS_ADDR", vfio: "BUS_ADDR", needsProof: true }],
  ];
  for (const [expected, answer] of cells)
    it(`has the cell "${expected}"`, () => {
      const [, , header, row] = lines(flat(1), pathWith(answer));
      assert.equal(header?.trim(), "client        0000:01:00.0");
      assert.equal(row?.trim(), `0000:01:00.0  ${expected}`);
    });

  it("explains the words that occur, and no others", () => {
    const text = lines(flat(1), pathWith({ kernel: "BUS_ADDR", vfio: "BUS_ADDR" })).join("\n");
    assert.match(text, /\n {2}BUS {4}straight/);
    assert.doesNotMatch(text, /HOST|A\/B|Why/);
  });

  it("explains where a bus address needs proof, and why", () => {
    const answer = { kernel: "BUS_ADDR", vfio: "BUS_ADDR", needsProof: true } as const;
    const text = lines(flat(1), pathWith({ ...answer, reason: "of one device" })).join("\n");
    assert.match(text, /\n {2}BUS\? {3}inside a device/);
    assert.match(text, /\n {2}BUS\? \(VFIO\): of one device/);
  });

  it("says a reason that holds for many pairs once, for both who share it", () => {
    const reason = "the host bridge is not known to forward";
    const path = pathWith({ kernel: "NOT_SUPPORTED", vfio: "NOT_SUPPORTED", reason });
    const text = lines(flat(9), path);
    assert.deepEqual(text.slice(text.indexOf("Why")), [
      "Why",
      `  no (kernel, VFIO): ${reason}`,
      "    9 pairs, such as 0000:01:00.0 with 0000:01:00.0",
    ]);
  });

  it("stays short where 64 devices have 4,096 reasons, and says that there are more", () => {
    const tree = flat(64);
    const everyPair: TopologyView["path"] = (provider, client) =>
      pathWith({
        ...{ kernel: "NOT_SUPPORTED", vfio: "BUS_ADDR" },
        reason: `${client.address} cannot reach ${provider.address}`,
      })(provider, client);
    const text = matrixLines({ ...view(tree, everyPair), providers: tree.functions });
    assert.ok(text.length - text.indexOf("Why") < 50);
    assert.equal(text.at(-1), "  and 4076 more reasons, which --json has");
  });

  it("fits 100 columns with as many tables as that takes, each provider in one", () => {
    const tree = flat(40);
    const path = pathWith({
      ...{ kernel: "NOT_SUPPORTED", vfio: "THROUGH_HOST_BRIDGE", needsProof: true },
      ...{ bandwidth: 63e9, reason: "words and more words ".repeat(20) },
    });
    const text = matrixLines({ ...view(tree, path), providers: tree.functions });
    for (const one of text) assert.ok(one.length <= 100, one);
    const headers = text.filter((one) => one.startsWith("  client")).join(" ");
    assert.deepEqual(
      headers.match(/\S+:\S+/g),
      tree.functions.map(({ address }) => address),
    );
  });

  it("says what is missing where there is no provider or no client", () => {
    const empty = view(flat(1), pathWith({ kernel: "UNKNOWN", vfio: "UNKNOWN" }));
    assert.match(matrixLines({ ...empty, providers: [] }).join(), /^No provider: .*1 MiB/);
    assert.match(matrixLines({ ...empty, clients: [] }).join(), /^No client: /);
  });
});

describe("the topology for programs", () => {
  const path = pathWith({ kernel: "UNKNOWN", vfio: "BUS_ADDR", bandwidth: 1e9, reason: 'a, "b"' });
  const made = view(new PciTree(fakeTopology(fakeSwitch(0x1d))), path);

  it("is JSON with null for what is not known", () => {
    const report = topologyReport.parse(JSON.parse([...topologyJson(made)].join("")));
    assert.equal(report.functions.length, made.tree.functions.length);
    assert.equal(report.matrix.length, made.clients.length);
    const [first] = report.matrix;
    assert.equal(first?.kernel.map_type, null);
    assert.equal(first.completion_route, null);
    assert.equal(first.vfio.map_type, "BUS_ADDR");
    assert.deepEqual(report.functions[0]?.acs?.enabled, ["sv", "rr", "cr", "uf"]);
    assert.equal(report.functions[0].link, null);
  });

  it("is JSON with null for registers that could not be read", () => {
    const cut = { ...made, tree: new PciTree(fakeTopology(fakeSwitch(0, 64))) };
    const report = topologyReport.parse(JSON.parse([...topologyJson(cut)].join("")));
    const [fn] = report.functions;
    assert.deepEqual(
      [fn?.acs, fn?.port_type, fn?.max_payload, fn?.relaxed_ordering, fn?.config_bytes],
      [null, null, null, null, 64],
    );
  });

  it("is JSON without a matrix where there are no pairs", () => {
    const none: PciFunction[] = [];
    const text = [...topologyJson({ ...made, clients: none })].join("");
    assert.deepEqual(topologyReport.parse(JSON.parse(text)).matrix, []);
  });

  it("is CSV with a row for each pair", () => {
    const rows = topologyCsv(made).trimEnd().split("\r\n");
    assert.equal(rows.length, 1 + made.clients.length);
    assert.equal(
      rows[1],
      "0000:00:01.0,0000:00:01.0,4,direct,,translates,," +
        '"a, ""b""",BUS_ADDR,"a, ""b""",false,0000:00:01.0,1000000000',
    );
  });
});

describe("the topology's heading", () => {
  const path = pathWith({ kernel: "BUS_ADDR", vfio: "BUS_ADDR" });
  const text = (raw: Partial<RawPciFunction>, cpu = true): string => {
    const functions = [{ ...fakeFunction({ address: "0000:00:03.0" }), ...raw }];
    const topology = fakeTopology(functions);
    return topologyText(view(new PciTree(cpu ? topology : { functions, cpu: null }), path));
  };

  it("names the processor by what p2pdma goes by, and a ? where it is not known", () => {
    assert.match(text({}), /^CPU {5}fake \(AuthenticAMD, family 17h\)$/m);
    assert.match(text({}, false), /^CPU {5}\?$/m);
  });

  it("says what the IOMMU does", () => {
    assert.match(text({}), /^IOMMU {3}1 group; .*: 1 function translated$/m);
    assert.match(text({ iommuDomainType: "identity" }), /: 1 function passed as they are$/m);
    assert.match(text({ iommuDomainType: null }), /: 1 function not known$/m);
    assert.match(text({ iommuGroup: null }), /^IOMMU {3}none, or off/m);
  });
});

describe("wrapping", () => {
  it("breaks between words, and gives a long one a line of its own", () => {
    const word = "x".repeat(120);
    assert.deepEqual(wrapWords(`a b ${word} c`, "> ", "  "), ["> a b", `  ${word}`, "  c"]);
    assert.deepEqual(wrapWords("a b", "> ", "  "), ["> a b"]);
  });
});
