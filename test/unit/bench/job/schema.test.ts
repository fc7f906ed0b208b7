import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { jobSchema } from "#lib/bench/job/json-schema.js";
import { PARAMETER_NAMES } from "#lib/bench/job/parameters.js";
import { JobFiles } from "../../../support/job-files.js";

const PUBLISHED = new URL("../../../../schema/job.schema.json", import.meta.url);

describe("the published schema of job files", () => {
  const files = new JobFiles();
  after(() => {
    files.remove();
  });
  const published = JSON.parse(readFileSync(PUBLISHED, "utf8")) as Record<string, unknown>;
  const validate = new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(published);

  it("is what the table of parameters says: else run node scripts/write-schemas.mjs", () => {
    assert.deepEqual(published, JSON.parse(JSON.stringify(jobSchema())));
  });

  it("can be imported from the package, as that of reports can", () => {
    for (const name of ["job", "bench-report"]) {
      const published = new URL(`../../../../schema/${name}.schema.json`, import.meta.url);
      assert.equal(import.meta.resolve(`p2pmem/schema/${name}.json`), published.href);
    }
  });

  it("tells editors what each parameter is", () => {
    const definitions = published.$defs as Record<string, { description?: string }>;
    for (const name of PARAMETER_NAMES) assert.ok(definitions[name]?.description, name);
  });

  /** Files that both take, and files that both refuse. */
  const good = [
    "a:\n",
    "global: { bs: 4k }\na: { iodepth: [1, 2] }\n",
    "a: { bs: [4096, 4K, 4kib, 1 m, '512'], size: 1t, offset: 0 }\n",
    "a: { runtime: 1.5, ramp_time: 0s }\nb: { runtime: 500ms, ramp-time: 1 }\n",
    "a: { time_based: 1, runtime: 2m }\nb: { sq-in_cmb: [true, false] }\n",
    "a: { rw: [readwrite, randrw], rwmixread: 0, path: [p2p, host], verify: none }\n",
    "a: { path: kernel, src: /dev/nvme0n1, dst: 'file:/x' }\n",
    "a: { path: rdma, ib_dev: rxe0, ib_port: 1, gid_index: 3 }\n",
    "a: { path: [rdma-p2p], ib-dev: 'mlx5_0:mlx5_1', ib_port: '1:2', gid-index: [0, '1:2'] }\n",
    "a: { rw: read, src: [[03:00.0, 04:00.0], each] }\n",
    "a: { cpus_allowed: '0-3,6' }\nb: { cpus_allowed: [0, 3] }\nc: { cpus_allowed: 2 }\n",
    "a: { percentile_list: 50:99:99.9 }\nb: { percentile_list: 99 }\nc: { percentile_list: [1] }\n",
    "a: { jobs: 2, readwrite: copy, blocksize: 8k, expect: [x > 1, y > 1] }\n",
  ];
  const bad = [
    ...["", "- a\n", "global: { bs: 4k }\n", "{}\n", "a: 4\n", "bs: 4k\n", "a: [1]\n"],
    ...["a: { bss: 4k }\n", "a: { bs: [] }\n", "a: { bs: 4q }\n", "a: { bs: 0 }\n"],
    ...["a: { bs: '0k' }\n", "a: { bs: 4k,8k }\n", "a: { bs: [[4k]] }\n", "a: { bs: true }\n"],
    ...["a: { runtime: 0 }\n", "a: { runtime: 0ms }\n", "a: { runtime: soon }\n"],
    ...["a: { ramp_time: -1 }\n", "a: { iodepth: 0 }\n", "a: { iodepth: '4' }\n"],
    ...["a: { iodepth: 65536 }\n", "a: { time_based: 2 }\n", "a: { time_based: [true] }\n"],
    ...["a: { rw: rndread }\n", "a: { path: moon }\n", "a: { rwmixread: 101 }\n"],
    ...["a: { cpus_allowed: [] }\n", "a: { cpus_allowed: x }\n", "a: { cpus_allowed: -1 }\n"],
    ...["a: { percentile_list: 0 }\n", "a: { percentile_list: 50,99 }\n"],
    ...["a: { expect: 1 }\n", "a: { verify: md5 }\n", "a: { randseed: 4294967296 }\n"],
    ...["a: { path: rdma, ib_port: 0 }\n", "a: { path: rdma, ib_port: '1:' }\n"],
    ...["a: { path: rdma, gid_index: -1 }\n", "a: { path: rdma, ib_dev: a b }\n"],
    ...["a: { src: [] }\n", "a: { src: 5 }\n", "a: { dst: [[auto]] }\n"],
  ];
  for (const text of good)
    it(`takes what p2pmem takes: ${JSON.stringify(text)}`, async () => {
      await files.load(text);
      validate(parse(text));
      assert.deepEqual(validate.errors, null);
    });
  for (const text of bad)
    it(`refuses what p2pmem refuses: ${JSON.stringify(text)}`, async () => {
      await files.mistake(text);
      assert.equal(validate(parse(text)), false);
    });
});
