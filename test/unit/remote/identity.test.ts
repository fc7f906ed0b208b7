import assert from "node:assert/strict";
import { NvmeError, P2pError } from "#lib/errors.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { identityOf, namesOf, volumeOf } from "#lib/remote/identity.js";
import { knownEnd } from "#lib/remote/known-end.js";
import { SessionMachine } from "#lib/remote/machine.js";
import type { Session } from "#lib/session.js";

const NONE = { nguid: "0".repeat(32), eui64: "0".repeat(16), nmic: 0 };
const NGUID = "6e6775696400000000000000000000aa";
const EUI64 = "65756936340000aa";
const UUID = "75756964-0000-4000-8000-0000000000aa";
const NO_UUID = "00000000-0000-0000-0000-000000000000";

interface Has extends Partial<typeof NONE> {
  serialNumber?: string;
  /** Of NVMe 1.4, unless something else is said. */
  ver?: number;
  /** Null: no such descriptor. */
  uuid?: string | null | Error;
}

const namespaceAt = (
  address: string,
  { serialNumber = "S1", ver = 0x10400, uuid = null, ...fields }: Has,
) => {
  const namespaceDescriptors = (nsid: number) => {
    assert.equal(nsid, 2);
    return uuid instanceof Error ? Promise.reject(uuid) : Promise.resolve({ uuid });
  };
  const identity = { modelNumber: "M", serialNumber, fields: { ver } };
  return {
    controller: { address, identity, admin: { namespaceDescriptors } },
    ...{ nsid: 2, size: 4096, blockSize: 512, identity: { fields: { ...NONE, ...fields } } },
  } as unknown as NvmeNamespace;
};

const [HERE, THERE] = ["0000:03:00.0", "0000:04:00.0"];

const refusal = (doNotRetry: boolean) =>
  new NvmeError("Identify: Invalid Field", { statusCodeType: 0, statusCode: 2, doNotRetry });

const identify = async (namespace: NvmeNamespace) =>
  identityOf(namespace, await namesOf(namespace));
const volume = async (namespace: NvmeNamespace) => volumeOf(namespace, await namesOf(namespace));

describe("What a namespace is known by", () => {
  it("is all that names it, without what it does not have", async () => {
    assert.equal(await identify(namespaceAt(HERE, {})), "M S1, namespace 2, 4096 bytes");
    assert.equal(
      await identify(namespaceAt(HERE, { nguid: NGUID, eui64: EUI64 })),
      `M S1, namespace 2, NGUID ${NGUID}, EUI-64 ${EUI64}, 4096 bytes`,
    );
  });

  it("is its UUID where it has neither NGUID nor EUI-64, which are enough", async () => {
    assert.equal(
      await identify(namespaceAt(HERE, { uuid: UUID })),
      `M S1, namespace 2, UUID ${UUID}, 4096 bytes`,
    );
    const other = new P2pError("TIMEOUT", "nobody asks for it");
    for (const name of [{ nguid: NGUID }, { eui64: EUI64 }])
      assert.doesNotMatch(await identify(namespaceAt(HERE, { ...name, uuid: other })), /UUID/);
  });

  it("is no UUID where there is none, or where the controller has no way to tell it", async () => {
    for (const has of [{ uuid: NO_UUID }, { uuid: UUID, ver: 0x10201 }, { uuid: refusal(true) }])
      assert.deepEqual(await namesOf(namespaceAt(HERE, has)), []);
    // Of what would be there at another time it may not do without.
    for (const uuid of [refusal(false), new P2pError("TIMEOUT", "it hangs")])
      await assert.rejects(namesOf(namespaceAt(HERE, { uuid })), uuid);
  });

  it("is what a machine finds at an endpoint", async () => {
    const namespaces = [namespaceAt(HERE, { uuid: UUID })];
    const session = { controller: () => Promise.resolve({ namespaces }) } as unknown as Session;
    const options = { nic: {}, staging: "host", allowWrite: false } as const;
    const found = await new SessionMachine(session, options).range(parseEndpoint(`${HERE}/2`));
    assert.equal(found.identity, `M S1, namespace 2, UUID ${UUID}, 4096 bytes`);
    assert.equal(found.volume, `UUID ${UUID}`);
  });

  it("is the same when it comes back from a journal", async () => {
    const namespace = namespaceAt(HERE, { serialNumber: "S  1\t2".padEnd(300, "x") });
    namespace.controller.identity.modelNumber = "ACME  NVMe";
    const identity = await identify(namespace);
    assert.match(identity, /^ACME NVMe S 1 2x/);
    assert.equal(knownEnd.shape.identity.parse(identity), identity);
  });

  it("is the same by two paths where it has a name of its own, or is shared in a subsystem", async () => {
    for (const has of [{ nguid: NGUID }, { eui64: EUI64 }, { uuid: UUID }, { nmic: 1 }])
      assert.equal(await volume(namespaceAt(HERE, has)), await volume(namespaceAt(THERE, has)));
  });

  it("differs for another namespace, and where nothing says that two are one", async () => {
    const [nguid, uuid] = [NGUID, UUID].map((name) => name.replace("aa", "ab")) as [string, string];
    for (const [a, b] of [
      [namespaceAt(HERE, { nguid: NGUID }), namespaceAt(HERE, { nguid })],
      [namespaceAt(HERE, { uuid: UUID }), namespaceAt(HERE, { uuid })],
      [namespaceAt(HERE, {}), namespaceAt(THERE, {})],
      [namespaceAt(HERE, { nmic: 1 }), namespaceAt(THERE, { nmic: 1, serialNumber: "S2" })],
    ] as const)
      assert.notEqual(await volume(a), await volume(b));
  });
});
