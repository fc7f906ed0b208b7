import assert from "node:assert/strict";
import type { LimitedCopyResult } from "#lib/bench/limited-copy.js";
import { copyCsv, devicesCsv } from "#lib/cli/output/csv.js";
import { copyJson, devicesJson } from "#lib/cli/output/json.js";
import { copyTable, devicesTable } from "#lib/cli/output/normal.js";
import type { CopyReport, DeviceReport } from "#lib/cli/report.js";
import { parseBdf } from "#lib/pci/bdf.js";

function result(changes: Partial<LimitedCopyResult> = {}): LimitedCopyResult {
  return {
    path: "p2p",
    provider: "0000:05:00.0/bar2",
    src: "0000:03:00.0/1",
    dst: "0000:04:00.0/1",
    bs: 131072,
    iodepth: 32,
    jobs: 1,
    bytes: 131072000,
    runtime_ns: 100e6,
    bw_bytes: 1310720000,
    iops: 10000,
    lat_ns: {
      min: 1000,
      mean: 2500,
      max: 90000,
      percentile: { "50": 2000, "90": 3000, "99": 8700, "99.9": 9000, "99.99": 9500 },
    },
    cpu: { usr_pct: 99, sys_pct: 1, busy_ns_per_block: 120.4, device_ns_per_block: 95.2 },
    traffic: {
      source: "counted",
      host_memory_bytes: 0,
      host_control_bytes: 4096,
      root_complex_bytes: 0,
      links: [],
    },
    verify: null,
    in_cmb: [],
    notes: [],
    ...changes,
  };
}

function report(...results: LimitedCopyResult[]): CopyReport {
  return { version: "1.2.3", platform: "loopback", results };
}

const unknownTraffic = {
  source: "derived",
  host_memory_bytes: null,
  host_control_bytes: null,
  root_complex_bytes: null,
  links: null,
} as const;

const devices: DeviceReport = {
  version: "1.2.3",
  platform: "vfio",
  controllers: [
    {
      address: parseBdf("0000:03:00.0"),
      driver: "vfio-pci",
      iommu_group: 7,
      model: 'A "fast" one, new',
      serial: "S1",
      firmware: "1.0",
      mdts_bytes: 524288,
      namespaces: [
        { nsid: 1, bytes: 2 ** 30, block_bytes: 512 },
        { nsid: 2, bytes: 2 ** 20, block_bytes: 4096 },
      ],
      error: null,
    },
    {
      address: parseBdf("0000:04:00.0"),
      driver: "nvme",
      iommu_group: null,
      model: null,
      serial: null,
      firmware: null,
      mdts_bytes: null,
      namespaces: [],
      error: { code: "NOT_BOUND", message: "it belongs to nvme", hint: "bind it" },
    },
  ],
  providers: [
    {
      name: "0000:03:00.0/cmb",
      device: parseBdf("0000:03:00.0"),
      bytes: 2 ** 26,
      abilities: ["RDS", "WDS"],
      persistent: false,
    },
  ],
};

/** A reader of RFC 4180 that knows quotes, so that the writer is not checked by itself. */
function readCsv(text: string): string[][] {
  return text
    .trimEnd()
    .split("\r\n")
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "",
      ),
    );
}

describe("results as JSON", () => {
  it("are the object of the documentation, numbers as numbers", () => {
    const parsed: unknown = JSON.parse(copyJson(report(result({ limit_bw_bytes: 2e9 }))));
    const { notes, ...expected } = result({ limit_bw_bytes: 2e9 });
    assert.deepEqual(notes, []);
    assert.deepEqual(parsed, { version: "1.2.3", platform: "loopback", results: [expected] });
  });

  it("say null, and never 0, for what is not known or is no number", () => {
    const unknown = result({ bw_bytes: NaN, iops: Infinity, traffic: unknownTraffic });
    const [parsed] = (JSON.parse(copyJson(report(unknown))) as CopyReport).results;
    assert.equal(parsed!.bw_bytes, null);
    assert.equal(parsed!.iops, null);
    assert.deepEqual(parsed!.traffic, unknownTraffic);
    assert.ok(!("limit_bw_bytes" in parsed!));
  });

  it("list devices as they are", () => {
    assert.deepEqual(JSON.parse(devicesJson(devices)), devices);
  });
});

describe("results as CSV", () => {
  it("are a header and one row each, with empty cells for what is not known", () => {
    const rows = readCsv(
      copyCsv(report(result(), result({ traffic: unknownTraffic, bw_bytes: NaN }))),
    );
    assert.equal(rows.length, 3);
    const [header, known, unknown] = rows as [string[], string[], string[]];
    assert.equal(known.length, header.length);
    assert.equal(unknown.length, header.length);
    const cell = (row: string[], name: string): string | undefined => row[header.indexOf(name)];
    assert.equal(cell(known, "bw_bytes"), "1310720000");
    assert.equal(cell(known, "lat_ns_p99.9"), "9000");
    assert.equal(cell(known, "host_memory_bytes"), "0");
    assert.equal(cell(unknown, "host_memory_bytes"), "");
    assert.equal(cell(unknown, "bw_bytes"), "");
    assert.equal(cell(known, "verify_mismatches"), "");
  });

  it("have a row for each namespace, idle controller and provider, quoted where needed", () => {
    const rows = readCsv(devicesCsv(devices));
    assert.deepEqual(
      rows.map(([kind, name]) => [kind, name]),
      [
        ["kind", "name"],
        ["namespace", "0000:03:00.0/1"],
        ["namespace", "0000:03:00.0/2"],
        ["controller", "0000:04:00.0"],
        ["provider", "0000:03:00.0/cmb"],
      ],
    );
    for (const row of rows) assert.equal(row.length, rows[0]!.length);
    assert.equal(rows[1]![rows[0]!.indexOf("model")], 'A "fast" one, new');
    const cell = (row: number, name: string) => rows[row]![rows[0]!.indexOf(name)];
    assert.equal(cell(3, "error"), "NOT_BOUND");
    assert.deepEqual([cell(4, "abilities"), cell(4, "persistent")], ["RDS WDS", "false"]);
  });
});

describe("results for a person", () => {
  it("fit into 100 columns, with the widest that is to be expected", () => {
    const wide = result({
      provider: "0001:05:00.0/bar2",
      bs: 1023 * 1024,
      iodepth: 65535,
      bw_bytes: 123.45e9,
      iops: 99_999_900,
      lat_ns: { min: 1, mean: 123_456_789, max: 1e9, percentile: { "99": 987_654_321 } },
      cpu: { usr_pct: 99, sys_pct: 1, busy_ns_per_block: 123_456, device_ns_per_block: null },
      verify: { blocks: 99_999, mismatches: 99_999, first: null },
      limit_bw_bytes: 100e9,
    });
    for (const line of copyTable(report(wide)).split("\n"))
      assert.ok(line.length <= 100, `${line.length}: ${line}`);
  });

  it("put every figure below its title", () => {
    const verified = result({
      verify: { blocks: 1000, mismatches: 0, first: null },
      limit_bw_bytes: 1310720000,
    });
    const lines = copyTable(report(verified)).split("\n");
    assert.match(lines[0]!, /^path +provider +bs +depth +GB\/s +IOPS .*verify$/);
    assert.match(
      lines[2]!,
      /^p2p +05:00\.0\/bar2 +128k +32 +1\.31 +10\.0k +2\.5 +8\.7 +120 +0\.00 +0\.00 +100 +ok$/,
    );
  });

  it("leave out columns that hold nothing, and say ? for what is not known", () => {
    const host = result({ path: "host", provider: null, traffic: unknownTraffic });
    const [title, , row] = copyTable(report(host)).split("\n");
    assert.doesNotMatch(title!, /provider|verify|limit/);
    assert.match(row!, /^host +128k .* \? +\?$/);
  });

  it("show mismatches and notes", () => {
    const bad = result({
      verify: { blocks: 10, mismatches: 3, first: "LBA 8: torn" },
      notes: ["8 blocks in flight, not 32: 0000:05:00.0/bar2 has room for no more"],
    });
    const text = copyTable(report(bad, bad));
    assert.match(text, /3 bad/);
    assert.equal(text.match(/note: 8 blocks in flight/g)?.length, 1, "the same note once");
  });

  it("list controllers, namespaces and providers, with the reason where one cannot be used", () => {
    const text = devicesTable(devices);
    assert.match(text, /0000:03:00\.0\/2 +1 MiB +4 KiB/);
    assert.match(text, /0000:03:00\.0\/cmb +64 MiB/);
    assert.match(text, /0000:04:00\.0: NOT_BOUND: it belongs to nvme\n +hint: bind it/);
  });
});
