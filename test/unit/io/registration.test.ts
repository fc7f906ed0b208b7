import assert from "node:assert/strict";
import { keepsAddress, keptNotes } from "#lib/io/registration.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import type { Route } from "#lib/pci/route.js";

const CLIENT = parseBdf("0000:04:00.0");
const CARD = parseBdf("0000:05:00.0");

/** A card's memory, and the way of requests to it. */
const providerBy = (route: Route, isIdentityMapped = true): Provider =>
  ({
    ...{ name: `${CARD}/bar2`, fn: { address: CARD }, isIdentityMapped },
    pathTo: () => ({ route, routeReason: "why" }),
  }) as unknown as Provider;

const notes = (route: Route, isIdentityMapped?: boolean, client = CLIENT): string[] => {
  const provider = providerBy(route, isIdentityMapped);
  const found = keptNotes(provider, [client, client]);
  assert.equal(found.length, keepsAddress(provider, client) ? 1 : 0, "none kept without a note");
  return found;
};

describe("memory that is not mapped for each I/O", () => {
  it("is told of, once for each client", () => {
    assert.deepEqual(notes("direct"), [
      `no IOMMU mapping for each I/O of ${CLIENT}: it reaches ${CARD}/bar2 by its bus address`,
    ]);
    assert.equal(notes("internal", false, CARD).length, 1);
  });

  it("is told of where nobody knows what the switch does, with the reason and no claim", () => {
    for (const route of ["unknown", "unstated"] as const)
      assert.deepEqual(notes(route), [
        `no IOMMU mapping for each I/O of ${CLIENT}: it may reach ${CARD}/bar2 by its bus address, the route being ${route} (why)`,
      ]);
  });

  it("is none by way of the root complex, at an address of its own, or of the host's", () => {
    assert.deepEqual(notes("root"), []);
    assert.deepEqual(notes("unknown", false), []);
    assert.deepEqual(keptNotes(null, [CLIENT]), []);
  });
});
