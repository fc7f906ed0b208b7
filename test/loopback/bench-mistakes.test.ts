/** What is wrong with a job on this machine: found before anything runs, and shown where the job says it. */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { P2pError } from "#lib/errors.js";
import { Session } from "#lib/session.js";
import { JobFiles } from "../support/job-files.js";

const [NVME0, NVME1] = ["0000:03:00.0", "0000:04:00.0"];

describe("mistakes of a job that only the machine shows", () => {
  const files = new JobFiles();
  let session: Session;
  before(async () => {
    session = await Session.open({ platform: "loopback" });
  });
  after(async () => {
    files.remove();
    await session.close();
  });

  /** The error of a job file, of which nothing may have run. */
  async function mistake(
    jobs: readonly string[],
    overrides: JobParameters = {},
    yes = false,
  ): Promise<P2pError> {
    const run = bench({
      ...{ session, jobs, overrides, yes },
      onProgress: () => assert.fail("something runs"),
    });
    const error = await run.then(
      () => assert.fail("this is taken"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof P2pError, String(error));
    error.message = error.message.replaceAll(`${files.directory}/`, "");
    return error;
  }

  const mistakes: [text: string, code: string, message: RegExp][] = [
    ["a:\n  bs: 4k\n  size: 1g\n", "BAD_RANGE", /^job\.yaml:3: a\.size: .* 134217728 bytes/],
    ["a:\n  rw: read\n  size: 1g\n", "BAD_RANGE", /^job\.yaml:3: a\.size: .* past the end/],
    ["a:\n  bs: 4k\n  offset: 1g\n", "BAD_RANGE", /^job\.yaml:3: a\.offset: offset 1073741824 is/],
    [
      `a:\n  src: ${NVME1}\n  dst: ${NVME0}@0+1g\n`,
      "BAD_RANGE",
      /^job\.yaml:3: a\.dst: .* past the end of 0000:03/,
    ],
    ["a:\n  size: 1m\n  bs: 1000\n", "UNALIGNED", /^job\.yaml:3: a\.bs: block size 1000 is no/],
    ["a:\n  bs: 4k\n  offset: 1000\n", "UNALIGNED", /^job\.yaml:3: a\.offset: offset 1000 is no/],
    ["a:\n  bs: 4k\n  size: 1000001\n", "UNALIGNED", /^job\.yaml:3: a\.size: size 1000001 is no/],
    ["a:\n  path: host\n  rw: read\n  bs: 1000\n", "UNALIGNED", /^job\.yaml:4: a\.bs: an I\/O of/],
    ["a:\n  bs: 4k\n  src: 99:00.0\n", "UNKNOWN_DEVICE", /^job\.yaml:3: a\.src: there is no PCI/],
    [
      `a:\n  src: ${NVME0}\n  dst: 99:00.0\n`,
      "UNKNOWN_DEVICE",
      /^job\.yaml:3: a\.dst: there is no PCI device 0000:99/,
    ],
    ["a:\n  src: 05:00.0\n", "NOT_NVME", /^job\.yaml:2: a\.src: 0000:05:00\.0 is no NVMe/],
    ["a:\n  src: 03:00.0/9\n", "NO_NAMESPACE", /^job\.yaml:2: a\.src: .* has no namespace 9$/],
    [
      `a:\n  src: ${NVME0}\n  dst: ${NVME0}\n`,
      "OVERLAP",
      /^job\.yaml:3: a\.dst: source and destination overlap/,
    ],
    [
      "a:\n  path: p2p\n  provider: 03:00.0/bar2\n",
      "NO_PROVIDER",
      /^job\.yaml:3: a\.provider: 0000:03:00\.0 provides no bar2/,
    ],
    ["a:\n  path: p2p\n  bs: 1g\n", "NO_ROOM", /^job\.yaml:3: a\.bs: no device here has memory/],
    [
      `a:\n  src: ${NVME0}\n  dst: ${NVME1}\n  path: nvme-copy\n`,
      "UNSUPPORTED",
      /^job\.yaml:4: a\.path: the path nvme-copy is inside one controller/,
    ],
    ["global:\n  cpus_allowed: 4095\na:\n", "BAD_ARGUMENT", /^job\.yaml:2: global\.cpus_allowed: /],
    [
      "a:\n  rw: randread\n  iodepth: 65535\n",
      "BAD_ARGUMENT",
      /^job\.yaml:3: a\.iodepth: a queue of .* holds/,
    ],
    [
      "a:\n  rw: randread\n  numjobs: 1000\n",
      "NO_QUEUE",
      /^job\.yaml:3: a\.numjobs: .* fewer than the 1000/,
    ],
    [
      "a:\n  registration: each\n  lists_in_cmb: true\n",
      "BAD_ARGUMENT",
      /^job\.yaml:3: a\.lists_in_cmb: lists that are built for each I\/O/,
    ],
    [
      "a:\n  rw: randread\n  path: host\n  src: 04:00.0\n  sq_in_cmb: true\n",
      "NO_ABILITY",
      /^job\.yaml:5: a\.sq_in_cmb: 0000:04:00\.0 has no controller memory/,
    ],
  ];
  for (const [text, code, message] of mistakes)
    it(`are shown with file, line and field: ${code} in ${JSON.stringify(text)}`, async () => {
      const error = await mistake([files.write(text)]);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(error.hint !== undefined);
      assert.ok(!error.message.includes("\n"));
    });

  it("are of the override that makes them, and of the one job of several", async () => {
    const file = files.write("fits: { size: 4m }\nis-too-long:\n  size: 1g\n");
    assert.match((await mistake([file])).message, /^job\.yaml:3: is-too-long\.size: /);
    assert.match((await mistake([file], { size: "2g" })).message, /^size: .*@0\+2g reaches past/);
  });

  it("are nobody's field in a built-in job, where nobody wrote it", async () => {
    assert.match(
      (await mistake(["quick"], { offset: "1g" })).message,
      /^offset: offset 1073741824/,
    );
    const small = await Session.open({
      machine: files.write("root_ports: [{ device: nvme }, { device: nvme }]\n", "machine.yaml"),
    });
    try {
      await assert.rejects(bench({ session: small, jobs: "quick" }), {
        code: "NO_PROVIDER",
        message: /^nobody has 128 KiB/,
      });
      // Of a file it is shown at least which job it is.
      await assert.rejects(bench({ session: small, jobs: [files.write("a:\n  path: p2p\n")] }), {
        code: "NO_PROVIDER",
        message: /job\.yaml:2: a\.path: /,
      });
    } finally {
      await small.close();
    }
  });

  it("are more than 10,000 combinations once `each` and `all` are looked up", async () => {
    const depths = Array.from({ length: 2000 }, (_, index) => index + 1).join();
    const file = files.write(`a: { src: each, dst: each, path: host, iodepth: [${depths}] }\n`);
    const error = await mistake([file]);
    assert.equal(error.code, "TOO_MANY_POINTS");
    assert.equal(error.message, "there are 12,000 combinations to measure");
    assert.match(error.hint!, /--yes/);
  });
});
