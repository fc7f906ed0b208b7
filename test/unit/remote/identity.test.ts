import assert from "node:assert/strict";
import { identityOf, volumeOf } from "#lib/remote/identity.js";
import { knownEnd } from "#lib/remote/known-end.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";

const NONE = { nguid: "0".repeat(32), eui64: "0".repeat(16), nmic: 0 };
const NGUID = "6e6775696400000000000000000000aa";
const EUI64 = "65756936340000aa";

const namespaceAt = (address: string, fields: Partial<typeof NONE>, serialNumber = "S1") =>
  ({
    controller: { address, identity: { modelNumber: "M", serialNumber } },
    ...{ nsid: 2, size: 4096, identity: { fields: { ...NONE, ...fields } } },
  }) as unknown as NvmeNamespace;

const [HERE, THERE] = ["0000:03:00.0", "0000:04:00.0"];

describe("What a namespace is known by", () => {
  it("is all that names it, without what it does not have", () => {
    assert.equal(identityOf(namespaceAt(HERE, {})), "M S1, namespace 2, 4096 bytes");
    assert.equal(
      identityOf(namespaceAt(HERE, { nguid: NGUID, eui64: EUI64 })),
      `M S1, namespace 2, NGUID ${NGUID}, EUI-64 ${EUI64}, 4096 bytes`,
    );
  });

  it("is the same when it comes back from a journal", () => {
    const namespace = namespaceAt(HERE, {}, "S  1\t2".padEnd(300, "x"));
    namespace.controller.identity.modelNumber = "ACME  NVMe";
    const identity = identityOf(namespace);
    assert.match(identity, /^ACME NVMe S 1 2x/);
    assert.equal(knownEnd.shape.identity.parse(identity), identity);
  });

  it("is the same by two paths where it has a name of its own, or is shared in a subsystem", () => {
    for (const fields of [{ nguid: NGUID }, { eui64: EUI64 }, { nmic: 1 }])
      assert.equal(volumeOf(namespaceAt(HERE, fields)), volumeOf(namespaceAt(THERE, fields)));
  });

  it("differs for another namespace, and where nothing says that two are one", () => {
    const other = NGUID.replace("aa", "ab");
    for (const [a, b] of [
      [namespaceAt(HERE, { nguid: NGUID }), namespaceAt(HERE, { nguid: other })],
      [namespaceAt(HERE, {}), namespaceAt(THERE, {})],
      [namespaceAt(HERE, { nmic: 1 }), namespaceAt(THERE, { nmic: 1 }, "S2")],
    ] as const)
      assert.notEqual(volumeOf(a), volumeOf(b));
  });
});
