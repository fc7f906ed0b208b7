import assert from "node:assert/strict";
import type { BenchResult, PathReport } from "#lib/bench/report.js";
import { DeviceTree, HOST_MEMORY, ROOT } from "#lib/report/device-tree.js";
import { flowsOf } from "#lib/report/flows.js";
import { machineReport, NIC } from "../../support/bench-machine.js";
import { benchResult, rdmaEnd } from "../../support/bench-report.js";

const [NVME0, NVME1, CARD] = ["0000:19:00.0", "0000:1a:00.0", "0000:1b:00.0"] as const;
const [PORT0, PORT1, PORT2, PORT3] = [
  ...(["0000:18:00.0", "0000:18:01.0", "0000:18:02.0", "0000:18:03.0"] as const),
] as const;
const [SWITCH, ROOT_PORT] = ["0000:17:00.0", "0000:16:00.0"] as const;

function flowOf(changes: Partial<BenchResult>, route = "direct") {
  const paths = [NVME0, NVME1, NIC].map((client): PathReport => ({
    ...{ client, provider: CARD, distance: 4, map_type: "BUS_ADDR", reason: "" },
    route,
  }));
  const [flow] = flowsOf([benchResult(changes)], { ...machineReport(), paths });
  return flow!;
}

describe("the way of the data", () => {
  it("through peer memory turns at the switch where that hands it over", () => {
    const { legs, links } = flowOf({});
    assert.deepEqual(
      legs.map(({ way }) => way),
      [
        [NVME0, PORT0, SWITCH, PORT2, CARD],
        [CARD, PORT2, SWITCH, PORT1, NVME1],
      ],
    );
    assert.deepEqual(
      [...links],
      [
        [NVME0, 1],
        [NVME1, 1],
      ],
    );
  });

  it("climbs to the root complex where the route does", () => {
    assert.deepEqual(flowOf({}, "root").legs[0]?.way, [
      ...[NVME0, PORT0, SWITCH, ROOT_PORT, ROOT],
      ...[ROOT_PORT, SWITCH, PORT2, CARD],
    ]);
  });

  it("is not drawn where it is not known", () => {
    assert.equal(flowOf({}, "unknown").legs[0]?.way, null);
    const { legs, ends } = flowOf({ src: "/dev/nvme0n1" });
    assert.equal(legs[0]?.way, null);
    assert.match(legs[0].words, /place not known/);
    assert.deepEqual(ends, [CARD, CARD, NVME1]);
  });

  it("goes over host memory by the paths host and cpu", () => {
    const up = [NVME0, PORT0, SWITCH, ROOT_PORT, ROOT, HOST_MEMORY];
    assert.deepEqual(
      flowOf({ path: "host", provider: null }).legs.map(({ way }) => way),
      [up, [HOST_MEMORY, ROOT, ROOT_PORT, SWITCH, PORT1, NVME1]],
    );
    const { legs } = flowOf({ path: "cpu" });
    assert.deepEqual(legs[1]?.way, [HOST_MEMORY, ROOT, ROOT_PORT, SWITCH, PORT2, CARD]);
    assert.equal(legs.length, 3);
  });

  it("stays in a controller that copies by itself, and that holds its own peer memory", () => {
    const inside = flowOf({ path: "nvme-copy", provider: null, dst: `${NVME0}/2` });
    assert.deepEqual(
      inside.legs.map(({ way }) => way),
      [[NVME0]],
    );
    assert.deepEqual(flowOf({ provider: `${NVME0}/cmb` }).legs[0]?.way, [NVME0]);
  });

  it("goes over the NIC's link out and in, by way of what each end stages in", () => {
    const src = rdmaEnd(benchResult());
    const { legs, ends } = flowOf({
      path: "rdma-p2p",
      rdma: { src, dst: { ...src, staging: "host" } },
    });
    assert.deepEqual(
      legs.map(({ way }) => way),
      [
        [NVME0, PORT0, SWITCH, PORT2, CARD],
        [CARD, PORT2, SWITCH, PORT3, NIC],
        [NIC, PORT3, SWITCH, ROOT_PORT, ROOT, HOST_MEMORY],
        [HOST_MEMORY, ROOT, ROOT_PORT, SWITCH, PORT1, NVME1],
      ],
    );
    assert.deepEqual([...new Set(ends)], [NVME0, CARD, NIC, NVME1]);
    const soft = { ...src, dev: "rxe0", address: null };
    const { legs: unknown } = flowOf({ path: "rdma-p2p", rdma: { src: soft, dst: soft } });
    assert.equal(unknown[1]?.words, "1b:00.0/bar2 → rxe0, place not known");
  });

  it("comes from each of several sources, files with commas among them", () => {
    const { legs } = flowOf({ src: `file:/a,b,${NVME0}/1,${NVME1}/1`, dst: null, rw: "read" });
    assert.deepEqual(
      legs.map(({ words }) => words.split(" → ")[0]),
      ["file:/a,b", "19:00.0/1", "1a:00.0/1"],
    );
  });
});

describe("a report's tree of devices", () => {
  it("passes over bridges that are missing or go in a circle", () => {
    const [device] = machineReport().devices;
    const tree = new DeviceTree([
      { ...device!, address: "0000:01:00.0", parent: "0000:02:00.0" },
      { ...device!, address: "0000:02:00.0", parent: "0000:01:00.0" },
      { ...device!, address: "0000:03:00.0", parent: "0000:09:00.0" },
    ]);
    assert.deepEqual(tree.below(ROOT), [
      HOST_MEMORY,
      "0000:01:00.0",
      "0000:02:00.0",
      "0000:03:00.0",
    ]);
  });
});
