import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { p2pmem, start, waitUntilBusy, type CommandResult } from "../support/command.js";
import { perfReport } from "../support/perf-schema.js";

const NVME0 = "0000:03:00.0";
const NVME1 = "0000:04:00.0";
const CARD = "0000:05:00.0";

const perf = (...args: string[]): Promise<CommandResult> =>
  p2pmem("perf", "--platform", "loopback", ...args);

describe("p2pmem perf", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-perf-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("measures every pattern, as the documented JSON", async () => {
    for (const [pattern, reads] of [
      ["read", 100],
      ["write", 0],
      ["randread", 100],
      ["randwrite", 0],
      ["rw", 50],
      ["randrw", 70],
    ] as const) {
      const mix = pattern === "randrw" ? ["-M", "70"] : [];
      const { code, stdout, stderr } = await perf(
        ...[NVME1, "-w", pattern, ...mix, "-q", "8", "-t", "0.1", "--seed", "5"],
        ...["--output-format", "json"],
      );
      assert.equal(code, 0, stderr);
      const { workload, results, total } = perfReport.parse(JSON.parse(stdout));
      assert.deepEqual(workload, {
        ...{ pattern, read_pct: reads, io_bytes: 4096, depth: 8, queue_pairs: 1 },
        ...{ provider: null, interrupts: false, sq_in_cmb: false, seed: 5 },
      });
      assert.equal(results.length, 1);
      assert.equal(results[0]!.target, `${NVME1}/1`);
      assert.equal(total.ios, total.read.ios + total.write.ios);
      assert.equal(total.bytes, total.ios * 4096);
      assert.ok(Math.abs(total.iops * (total.runtime_ns / 1e9) - total.ios) < 1);
      assert.equal(total.read.ios > 0, reads > 0);
      assert.equal(total.write.ios > 0, reads < 100);
      const { min, mean, max, percentile } = total.lat_ns!;
      assert.ok(min <= mean && mean <= max && percentile["1"]! <= percentile["99.9"]!);
    }
  });

  it("reads several namespaces into the memory of a device, as often as it is told", async () => {
    const args = [NVME0, NVME1, "--provider", CARD, "-w", "read", "--size", "1m", "--loops", "3"];
    const json = await perf(...args, "-a", "0.05", "--output-format", "json");
    assert.equal(json.code, 0, json.stderr);
    const { workload, total, traffic } = perfReport.parse(JSON.parse(json.stdout));
    assert.equal(workload.provider, `${CARD}/bar2`);
    assert.equal(total.bytes, 2 * 3 * 2 ** 20);
    assert.equal(traffic.host_memory_bytes, 0);
    const { stdout } = await perf(...args, "--rate-iops", "5000");
    assert.match(stdout, new RegExp(`3 loops, at most 5000 a second, memory of ${CARD}/bar2`));
  });

  it("refuses a time and loops together, a rate of none, a provider that is none", async () => {
    for (const [args, message] of [
      [["--loops", "2", "-t", "1"], /--loops.* cannot be used with .*--time/],
      [["--rate-iops", "0"], /"0" is not/],
      [["--provider", NVME1], /no memory that others could use|provides no memory|has no/],
    ] as const) {
      const { code, stderr } = await perf(NVME0, ...args);
      assert.equal(code, args[0] === "--provider" ? 1 : 2, stderr);
      assert.match(stderr, message);
    }
  });

  it("measures several namespaces from several cores, in all and each", async () => {
    const { code, stdout, stderr } = await perf(
      ...[NVME0, `${NVME1}/1@1m+4m`, "-c", "[0,1]", "-P", "2", "-q", "5", "-o", "8k", "-t", "0.2"],
      ...["-w", "read", "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const { results, total, threads } = perfReport.parse(JSON.parse(stdout));
    assert.deepEqual(
      results.map(({ target, cpu }) => [target, cpu]),
      [0, 1].flatMap((cpu) => [
        [`${NVME0}/1`, cpu],
        [`${NVME1}/1@1m+4m`, cpu],
      ]),
    );
    assert.equal(
      total.ios,
      results.reduce((sum, { ios }) => sum + ios, 0),
    );
    assert.deepEqual(
      threads.map(({ cpu }) => cpu),
      [0, 1],
    );
    for (const { usr_pct, sys_pct, busy_pct } of threads) {
      // rusage counts whole ticks.
      assert.ok(usr_pct + sys_pct < 130 && busy_pct <= 100);
    }
  });

  it("shows a table, and percentiles and the histogram where they are asked for", async () => {
    const plain = await perf(NVME1, "-t", "0.1");
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(plain.stdout, /namespace +IOPS +MiB\/s +average +min +max\n0000:04:00.0\/1 +\d/);
    assert.match(plain.stdout, /\nCPU: [\d.]+ % user, /);
    assert.doesNotMatch(plain.stdout, /99\.99/);
    const full = await perf(NVME1, "-t", "0.1", "-LL");
    assert.match(full.stdout, /\n {2}99\.99000% : +[\d.]+ us\n/);
    assert.match(full.stdout, /: +100\.0000% +\d+\n/, "the last bucket");
    for (const line of (plain.stdout + full.stdout).split("\n"))
      assert.ok(line.length <= 100, line);
  });

  it("writes CSV, a row for each namespace and core and one for all", async () => {
    const { code, stdout } = await perf(NVME0, NVME1, "-t", "0.1", "--output-format", "csv");
    assert.equal(code, 0);
    const rows = stdout.trimEnd().split("\r\n");
    assert.equal(rows.length, 4);
    assert.match(rows[0]!, /^version,platform,pattern,read_pct,io_bytes,depth,/);
    assert.match(rows[3]!, /,total,/);
  });

  describe("refuses in one line, before any I/O,", () => {
    const mistakes: [string, string, number, string[]][] = [
      ["an I/O that is no multiple of a block", "UNALIGNED", 1, ["-o", "1000"]],
      ["a depth of 0", "BAD_ARGUMENT", 2, ["-q", "0"]],
      ["a depth above what a queue holds", "BAD_ARGUMENT", 2, ["-q", "1000000"]],
      ["fewer I/Os than queue pairs", "BAD_ARGUMENT", 2, ["-q", "2", "-P", "3"]],
      ["more queue pairs than there are", "NO_QUEUE", 1, ["-q", "1000", "-P", "1000"]],
      ["an unknown pattern", "BAD_ARGUMENT", 2, ["-w", "zigzag"]],
      ["a share of reads that is none", "BAD_ARGUMENT", 2, ["-w", "rw", "-M", "101"]],
      ["a share of reads of reads", "BAD_ARGUMENT", 2, ["-M", "70"]],
      ["a core that is not there", "BAD_ARGUMENT", 2, ["-c", "[4000]"]],
      ["a mask of no cores", "BAD_ARGUMENT", 2, ["-c", "0x0"]],
      ["a mask that is none", "BAD_ARGUMENT", 2, ["-c", "all"]],
      ["interrupts on a core", "BAD_ARGUMENT", 2, ["--interrupts", "-c", "0x1"]],
      ["queues in a CMB that is not there", "NO_ABILITY", 1, ["--sq-in-cmb"]],
      ["no time", "BAD_ARGUMENT", 2, ["-t", "0"]],
      ["an I/O larger than the namespace", "BAD_RANGE", 1, ["-o", "1g"]],
    ];
    for (const [title, code, exit, args] of mistakes)
      it(title, async () => {
        const result = await perf(NVME1, "-t", "600", ...args);
        assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`));
        assert.equal(result.code, exit);
      });

    it("a range past the end", async () => {
      const result = await perf(`${NVME1}@100m+100m`);
      assert.match(result.stderr, /^p2pmem: BAD_RANGE: [^\n]+; hint: [^\n]+\n$/);
    });

    it("a namespace that is not there", async () => {
      const result = await perf(`${NVME1}/7`);
      assert.match(result.stderr, /^p2pmem: NO_NAMESPACE: [^\n]+; hint: [^\n]+\n$/);
    });
  });

  it("ends at the first command that fails, and says which it was", async () => {
    const machine = join(directory, "faulty.yaml");
    writeFileSync(
      machine,
      `root_ports:
  - device: nvme
    faults: [{ "on": read, after: 100, status: [2, 0x81] }]
`,
    );
    const { code, stderr } = await p2pmem(
      ...["perf", "0000:01:00.0", "--machine", machine, "-t", "600", "-w", "read", "-q", "1"],
    );
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^p2pmem: NVME_STATUS: Read of blocks 800 to 807 of namespace 1 failed: Unrecovered Read Error/,
    );
  });

  it("sleeps between interrupts, with queues in a CMB and SGLs, where it is told to", async () => {
    const { code, stdout, stderr } = await perf(
      ...[NVME0, "--interrupts", "--sq-in-cmb", "--descriptors", "sgl", "-t", "0.2"],
      ...["--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const { workload, results } = perfReport.parse(JSON.parse(stdout));
    assert.deepEqual([workload.interrupts, workload.sq_in_cmb], [true, true]);
    assert.equal(results[0]!.descriptors, "sgl");
  });

  for (const [title, fault, pattern, line] of [
    [
      "and may be aborted",
      "on: read, after: 100, effect: hang",
      "randread",
      /^p2pmem: TIMEOUT: Read of blocks \d+ to \d+ of namespace 1 did not .* it was aborted(;|$)/,
    ],
    [
      "and does not let itself be aborted",
      "on: write, after: 100, effect: hang, abort: false",
      "randwrite",
      /^p2pmem: TIMEOUT: Write of blocks \d+ to \d+ of namespace 1 did not .* queue was deleted/,
    ],
    [
      "as its device is gone",
      "on: read, after: 100, effect: remove",
      "rw",
      /^p2pmem: DEVICE_GONE: /,
    ],
  ] as const)
    for (const interrupts of [[], ["--interrupts"]])
      it(`ends at a command that hangs, ${title} ${interrupts.join("")}`.trimEnd(), async () => {
        const machine = join(directory, "hanging.yaml");
        const quoted = fault.replace("on:", '"on":');
        writeFileSync(machine, `root_ports:\n  - { device: nvme, faults: [{ ${quoted} }] }\n`);
        const { code, stderr } = await p2pmem(
          ...["perf", "0000:01:00.0", "--machine", machine, "-t", "600", "-w", pattern],
          ...["--timeout", "1", ...interrupts],
        );
        assert.equal(code, 1);
        assert.match(stderr.split("\n").at(-2)!, line);
      });

  it("drains, lets go and exits with 130 on Ctrl-C", async () => {
    const { child, done } = start("perf", NVME1, "--platform", "loopback", "-t", "600");
    await once(child, "spawn");
    await waitUntilBusy(child.pid!, 1);
    child.kill("SIGINT");
    const { code, stderr } = await done;
    assert.equal(code, 130);
    assert.match(stderr, /^p2pmem: INTERRUPTED: [^\n]+\n$/);
  });
});
