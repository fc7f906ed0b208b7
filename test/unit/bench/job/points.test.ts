import assert from "node:assert/strict";
import fc from "fast-check";
import { combinations } from "#lib/bench/job/count.js";
import { isKernelEndpoint } from "#lib/kernel/endpoint.js";
import { jobsFrom } from "#lib/bench/job/load.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { pointsOf, type Answer, type Question, type Resolve } from "#lib/bench/job/points.js";
import type { BenchEndpoint, BenchPoint } from "#lib/bench/point.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";

/** A device for each name; what the machine would find takes the first of all names. */
function endpointOf(name: string): BenchEndpoint {
  if (isKernelEndpoint(name)) return { file: name, offset: 0 };
  const device = name === "auto" || name === "each" ? "0000:ff:00.0" : parseBdf(name);
  return { device: parseBdf(device), nsid: 1, offset: 0 };
}

/** One answer to each question. */
const plain = ({ src, dst, provider }: Question): Answer[] => [
  {
    sources: src.map(endpointOf),
    destination: dst === null ? null : endpointOf(dst),
    provider,
  },
];

async function points(parameters: JobParameters, resolve: Resolve = plain): Promise<BenchPoint[]> {
  const jobs = jobsFrom({ job: parameters }, {}, { yes: true });
  return (await Promise.all(jobs.map((job) => pointsOf(job, resolve)))).flat();
}

function nameOf(end: BenchEndpoint | null): string {
  if (end === null) return "-";
  return "file" in end ? end.file : end.device.slice(5, 7);
}

/** What a point is, as `03>04 p2p 4096`. */
function brief({ sources, destination, path, provider, bs, rw }: BenchPoint): string {
  const via = provider === null ? path : `${path}:${provider}`;
  const ends = `${sources.map(nameOf).join("+")}>${nameOf(destination)}`;
  return `${rw === "copy" ? ends : `${rw} ${ends}`} ${via} ${bs}`;
}

describe("the points of a job", () => {
  it("have all that a sample of them needs", async () => {
    const [point] = await points({
      ...{
        path: "p2p",
        bs: "64k",
        iodepth: 8,
        numjobs: 2,
        offset: "1m",
        size: "2m",
        runtime: "2m",
      },
      ...{ time_based: true, ramp_time: 1, samples: 3, rate_iops: 100, cpus_allowed: "1-2" },
      ...{ registration: "each", verify: "crc32c", randseed: 7, percentile_list: "50:99" },
      ...{
        descriptors: "sgl",
        sq_in_cmb: true,
        lists_in_cmb: true,
        src: "03:00.0",
        dst: "04:00.0",
      },
    });
    assert.deepEqual(point, {
      ...{ job: "job", rw: "copy", path: "p2p", provider: "closest", rwmixread: 50 },
      sources: [{ device: "0000:03:00.0", nsid: 1, offset: 0 }],
      destination: { device: "0000:04:00.0", nsid: 1, offset: 0 },
      ...{ bs: 65536, iodepth: 8, numjobs: 2, offset: 1 << 20, size: 2 << 20, runtime: 120 },
      ...{ timeBased: true, loops: 1, rampTime: 1, samples: 3, rateIops: 100 },
      ...{ cpusAllowed: [1, 2], registration: "each", verify: "crc32c", randseed: 7 },
      ...{ percentiles: [50, 99], descriptors: "sgl", sqInCmb: true, listsInCmb: true },
      ...{ rdma: null, isOneOfAll: false, refusal: null },
    });
  });

  it("come in the order that one compares in: paths innermost, pairs outermost", async () => {
    const all = await points({
      ...{ path: ["p2p", "host"], provider: ["closest", "05:00.0"], bs: [4096, 8192] },
      ...{ src: ["03:00.0", "04:00.0"], dst: "06:00.0" },
    });
    const ways = (ends: string, bs: number): string[] =>
      ["p2p:closest", "p2p:05:00.0", "host"].map((way) => `${ends} ${way} ${bs}`);
    assert.deepEqual(all.map(brief), [
      ...ways("03>06", 4096),
      ...ways("03>06", 8192),
      ...ways("04>06", 4096),
      ...ways("04>06", 8192),
    ]);
  });

  it("say which of them are some of all, and which are known not to run", async () => {
    const refusal = new P2pError("NO_PROVIDER", "none that both reach");
    const refused: Resolve = (question) => [
      ...plain(question),
      { ...plain(question)[0]!, provider: null, refusal },
    ];
    const all = await points({ path: "p2p", src: "each", dst: "04:00.0" }, refused);
    assert.deepEqual(
      all.map((point) => [point.isOneOfAll, point.refusal]),
      [
        [true, null],
        [true, refusal],
      ],
    );
  });

  it("have the ways of registration outside of the paths", async () => {
    const all = await points({ path: ["p2p", "host"], registration: ["once", "each"] });
    assert.deepEqual(
      all.map(({ path, registration }) => `${registration} ${path}`),
      ["once p2p", "once host", "each p2p", "each host"],
    );
  });

  it("have the wire where they go over one, and map their memory once there", async () => {
    const port = { dev: "rnic0", address: null, port: 1, gidIndex: 0 };
    const rdma = [port, { ...port, port: 2 }] as const;
    const wired: Resolve = (question) =>
      plain(question).map((answer) =>
        question.path.startsWith("rdma-") ? { ...answer, rdma } : answer,
      );
    const all = await points({ path: ["p2p", "rdma"], registration: ["each", "once"] }, wired);
    assert.deepEqual(
      all.map(({ path, registration, provider, rdma }) => [path, registration, provider, rdma]),
      [
        ["p2p", "each", "closest", null],
        ["rdma-p2p", "once", "closest", rdma],
        ["rdma-host", "once", null, rdma],
        ["p2p", "once", "closest", null],
      ],
    );
    assert.equal(
      combinations(jobsFrom({ a: { path: ["p2p", "rdma"], registration: ["each", "once"] } })[0]!),
      4,
    );
  });

  it("are jobs of their own where they take the wire at another place", () => {
    const jobs = jobsFrom({
      a: { path: "rdma", ib_dev: ["rxe0", "mlx5_0:mlx5_1"], ib_port: [1, "1:2"], gid_index: 3 },
    });
    assert.deepEqual(
      jobs.map(({ name, ibDev, ibPort, gidIndex }) => [name, ibDev, ibPort, gidIndex]),
      [
        ["a ib_dev=rxe0 ib_port=1", ["rxe0", "rxe0"], [1, 1], [3, 3]],
        ["a ib_dev=rxe0 ib_port=1:2", ["rxe0", "rxe0"], [1, 2], [3, 3]],
        ["a ib_dev=mlx5_0:mlx5_1 ib_port=1", ["mlx5_0", "mlx5_1"], [1, 1], [3, 3]],
        ["a ib_dev=mlx5_0:mlx5_1 ib_port=1:2", ["mlx5_0", "mlx5_1"], [1, 2], [3, 3]],
      ],
    );
  });

  it("are as many as the machine has for each and all", async () => {
    const devices = ["03:00.0", "04:00.0", "06:00.0"].map(endpointOf);
    const resolve: Resolve = ({ path, provider }) =>
      devices.flatMap((source) =>
        devices
          .filter((destination) => destination !== source)
          .flatMap((destination) =>
            (provider === "all" ? ["one", "two"] : [null]).map((name) => ({
              ...{ sources: [source], destination, provider: path === "p2p" ? name : null },
            })),
          ),
      );
    const all = await points(
      { path: ["p2p", "host"], src: "each", dst: "each", provider: "all" },
      resolve,
    );
    assert.equal(all.length, 6 * 3);
    assert.deepEqual(all.slice(0, 4).map(brief), [
      ...["03>04 p2p:one 4096", "03>04 p2p:two 4096", "03>04 host 4096", "03>06 p2p:one 4096"],
    ]);
  });

  it("leave out what the machine has no answer to, and are never none", async () => {
    const resolve: Resolve = (question) => (question.path === "nvme-copy" ? [] : plain(question));
    const all = await points({ path: ["host", "nvme-copy"] }, resolve);
    assert.deepEqual(
      all.map(({ path }) => path),
      ["host"],
    );
    await assert.rejects(points({ path: "nvme-copy" }, resolve), {
      code: "BAD_ARGUMENT",
      message: "job.path: nothing to measure: nvme-copy does not apply here",
    });
  });

  it("have for each size of blocks the ways that go with it", async () => {
    const resolve: Resolve = (question) =>
      question.bs > 4096 && question.path === "p2p"
        ? plain({ ...question, provider: "large" })
        : [...plain(question), ...plain({ ...question, provider: "large" })];
    const all = await points({ path: "p2p", provider: "all", bs: ["4k", "1m"] }, resolve);
    assert.deepEqual(all.map(brief), [
      ...["ff>ff p2p:all 4096", "ff>ff p2p:large 4096", "ff>ff p2p:large 1048576"],
    ]);
  });

  it("ask once for each path, provider, pair and size of blocks", async () => {
    const asked: string[] = [];
    await points(
      {
        path: ["p2p", "host"],
        bs: ["4k", "1m", "64k"],
        iodepth: [1, 2],
        rw: ["copy", "read", "rw"],
      },
      (question) => {
        const { path, src, dst, provider, bs } = question;
        asked.push([path, src.join(), dst, provider, bs].join(" "));
        return plain(question);
      },
    );
    const sizes = [4096, 1048576, 65536];
    assert.deepEqual(
      asked,
      ["p2p auto auto closest", "host auto auto ", "p2p auto  closest", "host auto  "].flatMap(
        (question) => sizes.map((bs) => `${question} ${bs}`),
      ),
    );
  });

  it("take the kernel's devices for the kernel's paths, and others for the others", async () => {
    const all = await points({
      ...{ path: ["p2p", "kernel"], src: ["03:00.0", "/dev/nvme0n1"], dst: ["04:00.0", "file:/x"] },
    });
    assert.deepEqual(all.map(brief), [
      "03>04 p2p:closest 4096",
      "/dev/nvme0n1>file:/x kernel-p2p:closest 4096",
      "/dev/nvme0n1>file:/x kernel-host 4096",
    ]);
  });

  it("of the kernel's paths have one registration, its own, and no verification of writes", async () => {
    const all = await points({
      ...{ path: ["p2p", "kernel"], src: ["03:00.0", "/dev/nvme0n1"], rw: "write" },
      ...{ registration: ["each", "once"] },
    });
    assert.deepEqual(
      all.map((point) => `${point.path} ${point.registration}`),
      ["p2p each", "p2p once", "kernel-p2p once", "kernel-host once"],
    );
  });

  it("of I/Os go to all sources that were named together, and have no destination", async () => {
    const all = await points({
      ...{ rw: ["read", "randrw"], rwmixread: [30, 70], path: "p2p" },
      ...{ src: [["03:00.0", "04:00.0"], "06:00.0"] },
    });
    assert.deepEqual(
      all.map((point) => `${brief(point)} ${point.rwmixread}`),
      [
        "read 03+04>- p2p:closest 4096 100",
        "read 06>- p2p:closest 4096 100",
        "randrw 03+04>- p2p:closest 4096 30",
        "randrw 03+04>- p2p:closest 4096 70",
        "randrw 06>- p2p:closest 4096 30",
        "randrw 06>- p2p:closest 4096 70",
      ],
    );
  });

  it("verify what they write alone", async () => {
    const all = await points({ rw: ["copy", "randread", "write"], path: "host", verify: "crc32c" });
    assert.deepEqual(
      all.map(({ verify }) => verify),
      ["crc32c", null, "crc32c"],
    );
  });

  it("compare with a source only where there is one", async () => {
    const [job] = jobsFrom({ job: { rw: ["copy", "write"], path: "host" } }, { verify: "memcmp" });
    assert.deepEqual(
      (await pointsOf(job!, plain)).map(({ verify }) => verify),
      ["memcmp", null],
    );
  });

  it("of one job go to the same random places, and of a run that repeats it", async () => {
    const seeds = async (job: JobParameters): Promise<number[]> => [
      ...new Set((await points(job)).map(({ randseed }) => randseed)),
    ];
    const bs = ["4k", "8k"];
    assert.equal((await seeds({ bs })).length, 1);
    assert.deepEqual(await seeds({ bs }), await seeds({ bs }));
    assert.deepEqual(await seeds({ bs, randseed: 7 }), [7]);
  });

  it("are as many as the product of the lists' lengths", async () => {
    const list = <T>(...values: T[]) => fc.subarray(values, { minLength: 1 });
    const arbitrary = fc.record({
      path: list<"p2p" | "host" | "cpu" | "nvme-copy">("p2p", "host", "cpu", "nvme-copy"),
      src: list("auto", "03:00.0", "04:00.0"),
      dst: list("auto", "06:00.0"),
      bs: list<string | number>(512, "4k", "1m"),
      iodepth: list(1, 2, 4),
      numjobs: list(1, 2),
      registration: list<"once" | "each">("once", "each"),
      rate_iops: list(10, 20, 30),
      loops: list(1, 2),
      sq_in_cmb: list(true, false),
    });
    await fc.assert(
      fc.asyncProperty(arbitrary, async (lists) => {
        const product = Object.values(lists).reduce((count, { length }) => count * length, 1);
        const all = await points(lists);
        assert.equal(all.length, product);
        assert.equal(new Set(all.map((point) => JSON.stringify(point))).size, product);
        const jobs = jobsFrom({ job: lists }, {}, { yes: true });
        assert.equal(
          jobs.reduce((sum, job) => sum + combinations(job), 0),
          product,
        );
      }),
      { numRuns: 50 },
    );
  });

  it("are as many as combinations() says, with workloads, mixes, providers and the kernel's", async () => {
    const list = <T>(...values: T[]) => fc.subarray(values, { minLength: 1 });
    const arbitrary = fc.record({
      path: list<"p2p" | "host" | "kernel-p2p" | "kernel-host">(
        ...(["p2p", "host", "kernel-p2p", "kernel-host"] as const),
      ),
      own: list("03:00.0", "04:00.0"),
      kernel: list("/dev/nvme0n1", "/dev/nvme1n1"),
      rw: list<"copy" | "read" | "randrw">("copy", "read", "randrw"),
      rwmixread: list(10, 50, 90),
      provider: list("closest", "05:00.0", "06:00.0"),
      registration: list<"once" | "each">("once", "each"),
    });
    await fc.assert(
      fc.asyncProperty(
        arbitrary,
        async ({ own, kernel, rw, rwmixread, provider, registration, ...lists }) => {
          const endpoints = [
            ...(lists.path.some((path) => !path.startsWith("kernel")) ? own : []),
            ...(lists.path.some((path) => path.startsWith("kernel")) ? kernel : []),
          ];
          const parameters: JobParameters = {
            ...{ ...lists, rw, src: endpoints },
            ...(rw.includes("copy") ? { dst: endpoints } : {}),
            ...(rw.includes("randrw") ? { rwmixread } : {}),
            ...(lists.path.some((path) => !path.startsWith("kernel")) ? { registration } : {}),
            ...(lists.path.some((path) => path.endsWith("p2p")) ? { provider } : {}),
          };
          const [job] = jobsFrom({ job: parameters });
          assert.equal((await points(parameters)).length, combinations(job!));
        },
      ),
      { numRuns: 100 },
    );
  });
});
