import assert from "node:assert/strict";
import { FORWARDERS } from "#lib/pci/host-bridges.js";
import { peerPath } from "#lib/pci/peer-path.js";
import { PciTree } from "#lib/pci/tree.js";
import { parseMachine, rawTopology } from "../../support/topology.js";

/** What Linux 7.3 has, read out of its image: vendor, then devices; `*`: within one host bridge. */
const LISTED = `
  8086 3c00* 3c01* 2f00* 2f01*
  8086 2030 2031 2032 2033 2020
  8086 09a2 0b25 0cfe 11fb 1212 1216
  8086 4940 4942 4944 4946 4948
  1ae0 0000 1234 ffff
  10de 2f95 2f96 2f97 2f98`;

/** Neighbours of the above, what only newer trees have, and well-known ones that no tree has. */
const NOT_LISTED = `
  8086 3c02 2f02 6f00 2034 2021 09a3 0b26 0cff 11fc 1213 1217 4941 4943 4945 4947 4949 29c0 1237 a700
  1d17 1003 1005 1006 1007 1008
  1ae1 1234
  10de 2f94 2f99
  1022 1480 14a4
  1d94 1450`;

function idsOf(text: string): string[] {
  return text
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [vendor = "", ...devices] = line.trim().split(" ");
      return devices.map((device) => `${vendor}:${device}`);
    });
}

interface Setup {
  /** The first function on the root bus: where and what. */
  first?: string;
  cpu?: string;
}

/** The kernel's map type within a host bridge whose root is `ids`, and from it to one that is listed. */
function mapTypes(
  ids: string,
  { first = "00.0 integrated", cpu = "GenuineIntel 6" }: Setup = {},
): {
  within: string;
  between: string;
} {
  const root = (bus: string, id: string): string => {
    const [where = "", kind = ""] = first.split(" ");
    return `host pci0000:${bus}\n  ${bus}:${where} ${kind} ${id}\n  ${bus}:1e.0 integrated 1af4:1000`;
  };
  const tree = new PciTree(
    rawTopology(parseMachine(`cpu ${cpu}\n${root("00", ids)}\n${root("80", "8086:09a2")}`)),
  );
  const [first0, second0, , second80] = tree.functions;
  return {
    within: peerPath(tree, first0!, second0!).kernel.mapType,
    between: peerPath(tree, second0!, second80!).kernel.mapType,
  };
}

const YES = "THROUGH_HOST_BRIDGE";
const NO = "NOT_SUPPORTED";

describe("host bridges that forward", () => {
  for (const id of idsOf(LISTED)) {
    const isLimited = id.endsWith("*");
    it(`${id.replace("*", "")} does, ${isLimited ? "within itself only" : "and to others"}`, () => {
      assert.deepEqual(mapTypes(id.replace("*", "")), {
        within: YES,
        between: isLimited ? NO : YES,
      });
    });
  }

  for (const id of idsOf(NOT_LISTED))
    it(`${id} is not known to`, () => {
      assert.deepEqual(mapTypes(id), { within: NO, between: NO });
    });

  it("are 24 by their IDs, besides all of one vendor's, and one rule is for processors", () => {
    const ids = FORWARDERS.flatMap((rule) => ("deviceIds" in rule ? (rule.deviceIds ?? []) : []));
    assert.equal(new Set(ids).size, 24);
    assert.equal(ids.length, 24);
    assert.equal(FORWARDERS.filter((rule) => "minFamily" in rule).length, 1);
  });

  describe("are known by the first function on the root bus", () => {
    const cases: [string, string, string][] = [
      ["at 00.0, whatever it is", "00.0 integrated", YES],
      ["at 00.0, of conventional PCI", "00.0 conventional", YES],
      ["elsewhere, if it is a root port", "03.2 root", YES],
      ["elsewhere, if it is anything else", "03.2 integrated", NO],
      ["elsewhere, function 0 or not", "03.0 integrated", NO],
      ["elsewhere, of conventional PCI", "03.0 conventional", NO],
      ["at function 1 of device 0", "00.1 integrated", NO],
    ];
    for (const [title, first, expected] of cases)
      it(title, () => {
        assert.equal(mapTypes("8086:09a2", { first }).within, expected);
      });
  });

  describe("do not matter to a processor that forwards", () => {
    const cases: [string, string][] = [
      ["AuthenticAMD 23", YES],
      ["AuthenticAMD 26", YES],
      ["AuthenticAMD 22", NO],
      ["HygonGenuine 24", NO],
      ["GenuineIntel 23", NO],
      ["0x41 0", NO],
      ["-", "UNKNOWN"],
    ];
    for (const [cpu, expected] of cases)
      it(`${cpu}: ${expected}`, () => {
        const { within, between } = mapTypes("1022:1480", { cpu });
        assert.deepEqual([within, between], [expected, expected]);
      });
  });
});
