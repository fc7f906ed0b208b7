import assert from "node:assert/strict";
import { kernelTraffic } from "#lib/kernel/traffic.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { fixture } from "../../support/topology-fixtures.js";
import { rawTopology } from "../../support/topology.js";

describe("traffic of the kernel's path", () => {
  const tree = new PciTree(rawTopology(fixture("desktop")));
  const fn = (address: string) => tree.get(parseBdf(address));
  const bytes = { isFile: false, readBytes: 300, writtenBytes: 200 };

  it("is one passage of each byte where it goes through ordinary memory", () => {
    const legs = [{ clients: [], ...bytes }];
    const { host_memory_bytes, root_complex_bytes } = kernelTraffic(tree, null, legs);
    assert.deepEqual([host_memory_bytes, root_complex_bytes], [500, 500]);
  });

  it("is unknown of a file, which may have been read and written without O_DIRECT", () => {
    const legs = [{ ...bytes, clients: [fn("01:00.0")], isFile: true }];
    for (const provider of [null, parseBdf("01:00.0")])
      assert.deepEqual(kernelTraffic(tree, provider, legs), {
        ...{ source: "derived", host_memory_bytes: null, host_control_bytes: null },
        ...{ root_complex_bytes: null, links: null },
      });
  });

  it("never meets host memory on its way to a peer, and crosses the root complex by its route", () => {
    const provider = parseBdf("01:00.0");
    const own = kernelTraffic(tree, provider, [{ clients: [fn("01:00.0")], ...bytes }]);
    assert.deepEqual([own.host_memory_bytes, own.root_complex_bytes], [0, 0]);
    const far = kernelTraffic(tree, provider, [{ clients: [fn("02:00.0")], ...bytes }]);
    assert.deepEqual([far.host_memory_bytes, far.root_complex_bytes], [0, 500]);
  });

  it("is unknown where nobody says which way it goes", () => {
    const provider = parseBdf("01:00.0");
    for (const clients of [[], [fn("02:00.0"), fn("03:00.0")], [fn("01:00.1")]]) {
      const { root_complex_bytes } = kernelTraffic(tree, provider, [{ clients, ...bytes }]);
      assert.equal(root_complex_bytes, null);
    }
  });
});
