import assert from "node:assert/strict";
import { chooseEndpoints, chooseProvider } from "#lib/bench/choose.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import type { Session } from "#lib/session.js";
import { fakeFunction, fakeSwitch, fakeTopology } from "../../support/fake-pci.js";

const nvme0 = "0000:03:00.0";
const nvme1 = "0000:04:00.0";
const card = "0000:05:00.0";
const nvme2 = "0000:06:00.0";
const PREFETCHABLE = 0x2200;

/** A session over a switch with two controllers and a card, as far as choosing needs one. */
function fakeSession(facts: {
  namespaces?: Record<string, number[]>;
  providers?: string[];
  /** Bytes that a provider has free, where it matters. */
  room?: Record<string, number>;
  /** Devices that cannot be opened. */
  broken?: string[];
  unbound?: string[];
}): { session: Session; opened: string[] } {
  const { namespaces = {}, providers = [], unbound = [], room = {}, broken = [] } = facts;
  const bar = { start: 0xf0000000, size: 2 ** 20, flags: PREFETCHABLE };
  const raw = fakeSwitch(0)
    .map((fn) =>
      fn.address === card
        ? fakeFunction({
            address: card,
            parent: "0000:02:02.0",
            classCode: 0x058000,
            resources: [bar],
          })
        : fn,
    )
    .map((fn) => (unbound.includes(fn.address) ? { ...fn, driver: "nvme" } : fn));
  const opened: string[] = [];
  const session = {
    pci: new PciTree(fakeTopology(raw)),
    controller: (address: string) => {
      opened.push(address);
      if (broken.includes(address)) return Promise.reject(new P2pError("IN_USE", "another's"));
      return Promise.resolve({ namespaces: (namespaces[address] ?? []).map((nsid) => ({ nsid })) });
    },
    provider: (address: string) => {
      opened.push(address);
      if (broken.includes(address)) return Promise.reject(new P2pError("IN_USE", "another's"));
      const size = room[address] ?? 2 ** 20;
      return providers.includes(address)
        ? Promise.resolve({ name: address, size, pool: { largestFree: size } })
        : Promise.reject(new P2pError("NO_PROVIDER", "none"));
    },
  };
  return { session: session as unknown as Session, opened };
}

function endpoint(device: string, nsid = 1) {
  return { device: parseBdf(device), nsid, offset: 0 };
}

describe("an automatic choice of namespaces", () => {
  it("takes the first two, in the order of addresses", async () => {
    const { session } = fakeSession({ namespaces: { [nvme0]: [1], [nvme1]: [1], [nvme2]: [1] } });
    assert.deepEqual(await chooseEndpoints(session, null, null), {
      source: endpoint(nvme0),
      destination: endpoint(nvme1),
    });
  });

  it("may take both from one controller", async () => {
    const { session } = fakeSession({ namespaces: { [nvme1]: [3, 5] } });
    assert.deepEqual(await chooseEndpoints(session, null, null), {
      source: endpoint(nvme1, 3),
      destination: endpoint(nvme1, 5),
    });
  });

  it("never takes the one that was named for the other side", async () => {
    const { session } = fakeSession({ namespaces: { [nvme0]: [1], [nvme1]: [1] } });
    const chosen = await chooseEndpoints(session, null, endpoint(nvme0));
    assert.deepEqual(chosen.source, endpoint(nvme1));
    assert.deepEqual(await chooseEndpoints(session, endpoint(nvme0), null), {
      source: endpoint(nvme0),
      destination: endpoint(nvme1),
    });
  });

  it("leaves devices alone that the kernel drives", async () => {
    const { session, opened } = fakeSession({
      namespaces: { [nvme0]: [1], [nvme1]: [1], [nvme2]: [1] },
      unbound: [nvme0],
    });
    const { source } = await chooseEndpoints(session, null, null);
    assert.equal(source.device, nvme1);
    assert.ok(!opened.includes(nvme0));
  });

  it("says so where there are no two", async () => {
    const { session } = fakeSession({ namespaces: { [nvme0]: [1] } });
    await assert.rejects(chooseEndpoints(session, null, null), { code: "NO_NAMESPACE" });
  });
});

describe("an automatic choice of the provider", () => {
  const clients = [parseBdf(nvme0), parseBdf(nvme1)];

  it("takes the closest to all clients", async () => {
    const { session } = fakeSession({ providers: [nvme1, card, nvme2] });
    const { provider, distance } = await chooseProvider(session, clients, 4096);
    assert.equal(provider.name, nvme1);
    assert.equal(distance, 4);
  });

  it("prefers a card to a controller at the same distance", async () => {
    const { session } = fakeSession({ providers: [nvme1, card] });
    const { provider } = await chooseProvider(session, [parseBdf(nvme0)], 4096);
    assert.equal(provider.name, card);
  });

  it("opens nothing beyond the one it takes", async () => {
    const { session, opened } = fakeSession({ providers: [nvme0, nvme1, card, nvme2] });
    await chooseProvider(session, clients, 4096);
    assert.deepEqual(opened, [nvme0]);
  });

  it("goes on where a device that nobody named cannot be opened", async () => {
    const { session } = fakeSession({ providers: [nvme0, nvme1, card], broken: [nvme0, nvme1] });
    assert.equal((await chooseProvider(session, clients, 4096)).provider.name, card);
    const facts = { namespaces: { [nvme0]: [1], [nvme1]: [1], [nvme2]: [1] }, broken: [nvme0] };
    const { source, destination } = await chooseEndpoints(fakeSession(facts).session, null, null);
    assert.deepEqual([source.device, destination.device], [nvme1, nvme2]);
  });

  it("takes the next one where a block does not fit", async () => {
    const room = { [nvme0]: 65536 };
    const { session } = fakeSession({ providers: [nvme0, card], room });
    assert.equal((await chooseProvider(session, clients, 65536)).provider.name, nvme0);
    assert.equal((await chooseProvider(session, clients, 65537)).provider.name, card);
    await assert.rejects(chooseProvider(session, clients, 2 ** 21), {
      code: "NO_ROOM",
      message: /2 MiB.*03:00.0 has 64 KiB.*05:00.0 has 1 MiB/,
    });
  });

  it("passes on a failure that is not the lack of memory", async () => {
    const { session } = fakeSession({});
    session.provider = () => Promise.reject(new P2pError("MEMLOCK", "too little"));
    await assert.rejects(chooseProvider(session, clients, 4096), { code: "MEMLOCK" });
  });

  it("says so where nobody has memory", async () => {
    const { session } = fakeSession({ providers: [] });
    await assert.rejects(chooseProvider(session, clients, 4096), { code: "NO_PROVIDER" });
  });
});
