import assert from "node:assert/strict";
import {
  allProviders,
  Attempts,
  chooseEndpoints,
  chooseProvider,
  firstNamespaces,
} from "#lib/bench/choose.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import type { RawTopology } from "#lib/platform.js";
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
  /** Bytes of each of a device's ranges. */
  providers?: Record<string, number[]>;
  /** Bytes that others have of a provider. */
  taken?: Record<string, number>;
  /** Providers that are not published. */
  hidden?: string[];
  /** Devices that cannot be opened. */
  broken?: string[];
  unbound?: string[];
  /** Devices whose memory is a PMR. */
  pmrs?: string[];
  cpu?: RawTopology["cpu"];
}): { session: Session; opened: string[] } {
  const { namespaces = {}, providers = {}, unbound = [], taken = {}, pmrs = [] } = facts;
  const { hidden = [], broken = [] } = facts;
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
    pci: new PciTree({
      ...fakeTopology(raw),
      ...(facts.cpu === undefined ? {} : { cpu: facts.cpu }),
    }),
    controller: (address: string) => {
      opened.push(address);
      if (broken.includes(address)) return Promise.reject(new P2pError("IN_USE", "another's"));
      return Promise.resolve({ namespaces: (namespaces[address] ?? []).map((nsid) => ({ nsid })) });
    },
    providerRanges: (address: string) => {
      if (broken.includes(address)) return Promise.reject(new P2pError("IN_USE", "another's"));
      return Promise.resolve(
        (providers[address] ?? []).map((size, i) => ({
          ...{ kind: pmrs.includes(address) ? "pmr" : `bar${i}`, label: `bar${i}`, size },
        })),
      );
    },
    provider: (name: string) => {
      opened.push(name);
      const [address, label] = name.split("/");
      const size = providers[address!]![Number(label!.slice(3))]!;
      const largestFree = size - (taken[name] ?? 0);
      const isPublished = !hidden.includes(name);
      return Promise.resolve({ name, size, isPublished, pool: { largestFree } });
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
  const MIB = 2 ** 20;

  /** The name of what is chosen for blocks of `bs` bytes. */
  async function choose(
    facts: Parameters<typeof fakeSession>[0],
    bs = 4096,
    seed = 1,
  ): Promise<string> {
    return (await chooseProvider(fakeSession(facts).session, clients, bs, { seed })).provider.name;
  }

  it("takes the closest to all clients", async () => {
    const facts = { providers: { [nvme1]: [MIB], [card]: [MIB], [nvme2]: [MIB] } };
    const { provider, distance } = await chooseProvider(fakeSession(facts).session, clients, 4096);
    assert.equal(provider.name, `${nvme1}/bar0`);
    assert.equal(distance, 4);
  });

  it("takes any of those that are equally close, the same one for the same seed", async () => {
    const providers = { [nvme0]: [MIB], [nvme1]: [MIB], [card]: [MIB] };
    const chosen = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const name = await choose({ providers }, 4096, seed);
      assert.equal(await choose({ providers }, 4096, seed), name);
      chosen.add(name);
    }
    assert.deepEqual([...chosen].sort(), [`${nvme0}/bar0`, `${nvme1}/bar0`]);
  });

  it("opens nothing beyond the one it takes, and none that is too small", async () => {
    const { session, opened } = fakeSession({
      providers: { [nvme0]: [8192], [nvme1]: [4096, MIB, MIB], [card]: [MIB], [nvme2]: [MIB] },
    });
    await chooseProvider(session, clients, 65536);
    assert.deepEqual(opened, [`${nvme1}/bar1`]);
  });

  it("goes on where a device that nobody named cannot be opened", async () => {
    const providers = { [nvme0]: [MIB], [nvme1]: [MIB], [card]: [MIB] };
    assert.equal(await choose({ providers, broken: [nvme0, nvme1] }), `${card}/bar0`);
    const facts = { namespaces: { [nvme0]: [1], [nvme1]: [1], [nvme2]: [1] }, broken: [nvme0] };
    const { source, destination } = await chooseEndpoints(fakeSession(facts).session, null, null);
    assert.deepEqual([source.device, destination.device], [nvme1, nvme2]);
  });

  it("takes the next one where a block does not fit, or where it is not published", async () => {
    const facts = {
      providers: { [nvme0]: [65536], [card]: [MIB] },
      taken: { [`${card}/bar0`]: 4096 },
    };
    assert.equal(await choose(facts, 65536), `${nvme0}/bar0`);
    assert.equal(await choose({ ...facts, hidden: [`${nvme0}/bar0`] }, 65536), `${card}/bar0`);
    assert.equal(await choose(facts, 65537), `${card}/bar0`);
    await assert.rejects(choose(facts, MIB), {
      code: "NO_ROOM",
      message: /1 MiB: .*03:00.0\/bar0: it has 64 KiB .*05:00.0\/bar0: it has 1020 KiB/,
    });
  });

  it("takes no PMR, which keeps what it holds, and says that it must be named", async () => {
    const pmrs = [nvme0, card];
    const providers = { [nvme0]: [MIB], [card]: [MIB] };
    assert.equal(await choose({ providers, pmrs: [nvme0] }), `${card}/bar0`);
    await assert.rejects(choose({ providers, pmrs }), {
      code: "NO_PROVIDER",
      message: /05:00.0\/bar0: it is a PMR, .* only where it is named/,
    });
  });

  it("takes the next one where one does not fit, and says why; the first of the reasons if none does", async () => {
    const { session } = fakeSession({ providers: { [nvme0]: [MIB], [card]: [MIB] } });
    const refusing = (...names: string[]) => ({
      assertFit: ({ name }: { name: string }): void => {
        if (names.some((device) => name.startsWith(device)))
          throw new P2pError("NO_DMABUF", `not ${name}`);
      },
    });
    const one = await chooseProvider(session, clients, 4096, refusing(nvme0));
    assert.deepEqual(
      [one.provider.name, one.unfit.map(({ message }) => message)],
      [`${card}/bar0`, [`not ${nvme0}/bar0`]],
    );
    assert.deepEqual((await chooseProvider(session, clients, 4096, refusing())).unfit, []);
    await assert.rejects(chooseProvider(session, clients, 4096, refusing(nvme0, card)), {
      ...{ code: "NO_DMABUF", message: `not ${nvme0}/bar0` },
    });
  });

  it("takes none for a client of the kernel's that the kernel keeps from it", async () => {
    const far = [parseBdf(nvme2)];
    const providers = { [card]: [MIB], [nvme2]: [MIB] };
    // VFIO's way across the root complex is for a proof to find out.
    const unlisted = { vendor: "GenuineIntel", family: 6, model: "unlisted" };
    const choice = async (owner: "vfio" | "kernel", names: string[]): Promise<string> => {
      const own = Object.entries(providers).filter(([device]) => names.includes(device));
      const facts = { providers: Object.fromEntries(own), cpu: unlisted };
      const { session } = fakeSession(facts);
      return (await chooseProvider(session, far, 4096, { owner })).provider.name;
    };
    assert.equal(await choice("vfio", [card]), `${card}/bar0`);
    assert.equal(await choice("kernel", [card, nvme2]), `${nvme2}/bar0`);
    await assert.rejects(choice("kernel", [card]), { code: "NO_PROVIDER" });
  });

  it("passes on a failure that is not the lack of memory", async () => {
    const { session } = fakeSession({ providers: { [card]: [MIB] } });
    session.provider = () => Promise.reject(new P2pError("MEMLOCK", "too little"));
    await assert.rejects(chooseProvider(session, clients, 4096), { code: "MEMLOCK" });
  });

  it("says of one that is not published that it is not", async () => {
    const facts = { providers: { [card]: [MIB] }, hidden: [`${card}/bar0`] };
    await assert.rejects(choose(facts), {
      code: "NO_PROVIDER",
      message: /05:00\.0\/bar0: it is not published/,
    });
  });

  it("says so where nobody has memory", async () => {
    await assert.rejects(choose({ providers: {} }), { code: "NO_PROVIDER" });
  });
});

describe("all that there are", () => {
  const clients = [parseBdf(nvme0), parseBdf(nvme1)];
  const MIB = 2 ** 20;
  const briefOf = ({ what, refusal }: { what: unknown; refusal: P2pError | null }) => [
    what,
    refusal?.code ?? null,
  ];

  it("are the first namespaces, and devices that cannot be opened, which are asked once", async () => {
    const { session, opened } = fakeSession({
      namespaces: { [nvme0]: [2, 3], [nvme1]: [1], [nvme2]: [] },
      broken: [nvme1],
    });
    const attempts = new Attempts();
    for (let i = 0; i < 2; i++)
      assert.deepEqual((await firstNamespaces(session, attempts)).map(briefOf), [
        [endpoint(nvme0, 2), null],
        [endpoint(nvme1), "IN_USE"],
      ]);
    assert.equal(opened.filter((address) => address === nvme1).length, 1);
  });

  it("are none where no device can be opened: then that is what is wrong", async () => {
    const { session } = fakeSession({ broken: [nvme0, nvme1, nvme2] });
    await assert.rejects(firstNamespaces(session, new Attempts()), { code: "IN_USE" });
    const none = firstNamespaces(fakeSession({}).session, new Attempts());
    await assert.rejects(none, { code: "NO_NAMESPACE" });
  });

  it("are the providers, with those that are too small or cannot be opened", async () => {
    const { session } = fakeSession({
      providers: { [nvme0]: [MIB, MIB], [nvme1]: [4096], [nvme2]: [MIB] },
      broken: [card],
      hidden: [`${nvme2}/bar0`],
    });
    const provider = session.provider.bind(session);
    session.provider = (name) =>
      name === `${nvme0}/bar1`
        ? Promise.reject(new P2pError("NOT_MAPPABLE", "it cannot be mapped"))
        : provider(name);
    assert.deepEqual((await allProviders(session, clients, 65536, new Attempts())).map(briefOf), [
      [`${nvme0}/bar0`, null],
      [`${nvme0}/bar1`, "NOT_MAPPABLE"],
      [`${nvme1}/bar0`, "NO_ROOM"],
      [card, "IN_USE"],
    ]);
  });

  it("say of each why it is none, where there is none", async () => {
    const { session } = fakeSession({
      providers: { [nvme0]: [MIB], [nvme1]: [MIB] },
      pmrs: [nvme0],
      hidden: [`${nvme1}/bar0`],
    });
    await assert.rejects(allProviders(session, clients, 4096, new Attempts()), {
      code: "NO_PROVIDER",
      message: /03:00\.0\/bar0: it is a PMR, .*04:00\.0\/bar0: it is not published/,
    });
  });
});
