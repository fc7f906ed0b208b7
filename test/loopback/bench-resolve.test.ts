/** What `auto`, `each`, `closest` and `all` are on a machine, and how a report describes it. */
import assert from "node:assert/strict";
import { jobsFrom } from "#lib/bench/job/load.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { pointsOf } from "#lib/bench/job/points.js";
import { describeMachine } from "#lib/bench/measure/machine.js";
import { HostNoise } from "#lib/bench/measure/noise.js";
import { LeftOut } from "#lib/bench/measure/left-out.js";
import { resolver } from "#lib/bench/measure/resolve.js";
import type { BenchEndpoint, BenchPoint } from "#lib/bench/point.js";
import { Host } from "#lib/host/host.js";
import { formatEndpoint } from "#lib/io/endpoint.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { JobFiles } from "../support/job-files.js";

const [NVME0, NVME1, CARD, NVME2] = [
  "0000:03:00.0",
  "0000:04:00.0",
  "0000:05:00.0",
  "0000:06:00.0",
];

/** Two cards of the same distance to two controllers. */
const TWINS = `
root_ports:
  - device: switch
    ports:
      - { device: nvme }
      - { device: nvme }
      - { device: card, memory: 16m }
      - { device: card, memory: 16m }
`;

function points(
  session: Session,
  parameters: JobParameters,
  leftOut = new LeftOut(),
): Promise<BenchPoint[]> {
  const [job] = jobsFrom({ it: parameters });
  return pointsOf(job!, resolver(session, false, leftOut));
}

function nameOf(endpoint: BenchEndpoint): string {
  return "device" in endpoint ? formatEndpoint(endpoint) : endpoint.file;
}

describe("what a job names", () => {
  const files = new JobFiles();
  let session: Session;
  before(async () => {
    session = await Session.open({ platform: "loopback" });
  });
  after(async () => {
    files.remove();
    await session.close();
  });

  async function pairs(parameters: JobParameters): Promise<string[]> {
    const all = await points(session, { path: "host", ...parameters });
    return all.map(({ sources, destination }) =>
      [...sources.map(nameOf), ...(destination === null ? [] : ["to", nameOf(destination)])]
        .map((name) => name.replace(/^0000:(..).*$/, "$1"))
        .join(" "),
    );
  }

  const ends: [title: string, parameters: JobParameters, expected: string[]][] = [
    ["auto: the first that differ", {}, ["03 to 04"]],
    ["auto beside a name: the first that it does not use", { dst: NVME0 }, ["04 to 03"]],
    ["auto for I/Os: the first", { rw: "read" }, ["03"]],
    ["each for I/Os: all devices", { rw: "read", src: "each" }, ["03", "04", "06"]],
    [
      "each for both sides: all pairs of two",
      { src: "each", dst: "each" },
      ["03 to 04", "03 to 06", "04 to 03", "04 to 06", "06 to 03", "06 to 04"],
    ],
    ["each beside a name: all but that", { src: "each", dst: NVME1 }, ["03 to 04", "06 to 04"]],
    [
      "each beside auto: one for each",
      { src: "auto", dst: "each" },
      ["03 to 04", "03 to 06", "04 to 03"],
    ],
    ["auto behind each: one for each", { src: "each" }, ["03 to 04", "04 to 03", "06 to 03"]],
    ["several together", { rw: "read", src: [[NVME0, NVME2]] }, ["03 06"]],
  ];
  for (const [title, parameters, expected] of ends)
    it(`is found: ${title}`, async () => {
      assert.deepEqual(await pairs(parameters), expected);
    });

  it("is every provider through which a path goes for `all`, refused where it has no room", async () => {
    const ways = async (bs: string): Promise<string[]> =>
      (await points(session, { path: ["p2p", "host", "cpu"], provider: "all", bs })).map(
        ({ path, provider, refusal }) =>
          [path, provider?.slice(5) ?? "-", ...(refusal ? [refusal.code] : [])].join(" "),
      );
    assert.deepEqual(await ways("4k"), [
      ...["p2p 03:00.0/cmb", "p2p 05:00.0/bar2", "host -"],
      ...["cpu 03:00.0/cmb", "cpu 05:00.0/bar2"],
    ]);
    assert.deepEqual(await ways("128m"), [
      ...["p2p 03:00.0/cmb NO_ROOM", "p2p 05:00.0/bar2", "host -"],
      ...["cpu 03:00.0/cmb NO_ROOM", "cpu 05:00.0/bar2"],
    ]);
  });

  it("is one provider for `closest`, which the seed chooses among equals, the same each time", async () => {
    const twins = await Session.open({ machine: files.write(TWINS, "twins.yaml") });
    try {
      const chosen = async (randseed?: number): Promise<string | null> => {
        const all = await points(twins, {
          ...{ path: ["p2p", "cpu"], bs: ["4k", "64k"] },
          ...(randseed === undefined ? {} : { randseed }),
        });
        const [provider, ...others] = new Set(all.map((point) => point.provider));
        assert.deepEqual(others, [], "what is compared has the same provider");
        return provider!;
      };
      assert.equal(await chosen(), await chosen());
      const bySeed: (string | null)[] = [];
      for (let seed = 0; seed < 16; seed++) bySeed.push(await chosen(seed));
      assert.equal(new Set(bySeed).size, 2, "each of the two is chosen by some seed");
    } finally {
      await twins.close();
    }
  });

  it("says which pairs nvme-copy was left out for, in a line", async () => {
    const leftOut = new LeftOut();
    const job = { path: ["host", "nvme-copy"] } as const;
    await points(session, job, leftOut);
    const first = `it: the path nvme-copy is left out for ${NVME0}/1 and ${NVME1}/1`;
    assert.deepEqual(leftOut.warnings, [`${first}: it is inside one controller`]);
    await points(session, { ...job, src: "each", bs: ["4k", "8k"] }, leftOut);
    assert.deepEqual(leftOut.warnings, [
      `${first} (and 2 other pairs): it is inside one controller`,
    ]);
  });

  it("leaves nvme-copy out between two controllers, unless both were named for it", async () => {
    const paths = async (parameters: JobParameters): Promise<string[]> =>
      (await points(session, parameters)).map(({ path }) => path);
    assert.deepEqual(await paths({ path: ["host", "nvme-copy"] }), ["host"]);
    assert.deepEqual(
      await paths({
        ...{ path: ["host", "nvme-copy"], src: `${NVME0}@0+1m`, dst: `${NVME0}@1m+1m` },
      }),
      ["host", "nvme-copy"],
    );
    await assert.rejects(paths({ path: "nvme-copy" }), {
      code: "BAD_ARGUMENT",
      message: "it.path: nothing to measure: nvme-copy does not apply here",
    });
  });

  it("is described: devices on the way, what they are to it, and the ways to the memory", async () => {
    const [source, destination, provider] = [NVME0, NVME2, CARD].map(parseBdf);
    const machine = await describeMachine(
      session,
      [
        {
          ...{ sources: [source!], destination: destination!, provider: provider!, nics: [] },
          isKernel: false,
        },
      ],
      new HostNoise(new Host()),
    );
    const { devices, paths, iommu } = machine;
    assert.equal(iommu, "translated");
    assert.deepEqual(
      devices.map(({ address, role, parent }) => [
        address.slice(5),
        role,
        parent?.slice(5) ?? null,
      ]),
      [
        ["00:01.0", "bridge", null],
        ["00:02.0", "bridge", null],
        ["01:00.0", "bridge", "00:01.0"],
        ["02:00.0", "bridge", "01:00.0"],
        ["02:02.0", "bridge", "01:00.0"],
        ["03:00.0", "source", "02:00.0"],
        ["05:00.0", "provider", "02:02.0"],
        ["06:00.0", "destination", "00:02.0"],
      ],
    );
    const nvme = devices.find(({ role }) => role === "source")!;
    assert.equal(nvme.driver, "vfio-pci");
    assert.match(nvme.name, /^p2pmem loopback NVMe \(1\.0\)$/);
    assert.deepEqual(
      paths.map(({ client, provider: memory }) => [client, memory]),
      [
        [NVME0, CARD],
        [NVME2, CARD],
      ],
    );
    assert.ok(paths[0]!.distance! < paths[1]!.distance!);
    for (const { reason, map_type } of paths) assert.ok(reason !== "" && map_type !== "");
  });
});
