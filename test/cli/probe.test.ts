import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { p2pmem, type CommandResult } from "../support/command.js";
import { CARD, NVME0, NVME1, NVME2 } from "../support/raw-nvme.js";
import { probeReport } from "../support/result-schema.js";

describe("p2pmem probe", () => {
  let directory: string;
  const probe = (...args: string[]): Promise<CommandResult> =>
    p2pmem("probe", "--platform", "loopback", ...args);

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-probe-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  /** A machine whose root complex forwards no more than that; the far controller is across it. */
  function machine(forwards: string): string[] {
    const file = join(directory, `${forwards}.yaml`);
    writeFileSync(
      file,
      `host_bridge: { forwards: ${forwards} }
root_ports:
  - device: switch
    ports: [{ device: nvme }, { device: nvme }, { device: card, memory: 16m }]
  - device: nvme
`,
    );
    return ["--machine", file];
  }

  it("shows each leg and the verdict, and exits with 0 where the path is proved", async () => {
    const { code, stdout, stderr } = await probe(NVME0, CARD, NVME2);
    assert.equal(code, 0, stderr);
    for (const line of [
      `source ${NVME0} to ${CARD}/bar2`,
      `${CARD}/bar2 to destination ${NVME2}`,
      `${CARD}/bar2 to source ${NVME0}`,
      `destination ${NVME2} to ${CARD}/bar2`,
    ])
      assert.match(stdout, new RegExp(`^${line} .* proved$`, "m"));
    assert.match(stdout, /\nverdict: proved\n$/);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  });

  it("exits with 3 where the path loses data, and shows where", async () => {
    const { code, stdout, stderr } = await probe(NVME0, CARD, NVME2, ...machine("writes"));
    assert.equal(code, 3, stderr);
    assert.match(stdout, new RegExp(`^${CARD}/bar2 to destination ${NVME2} .* yes .* lost$`, "m"));
    assert.match(stdout, new RegExp(`^source ${NVME0} to ${CARD}/bar2 .* yes .* proved$`, "m"));
    assert.match(stdout, new RegExp(`^${CARD}/bar2 to destination ${NVME2}:\n {2}\\S`, "m"));
    assert.match(stdout, /\nverdict: loses data; [^\n]*--via host[^\n]*\n$/);
  });

  it("lets only the legs decide that a copy needs", async () => {
    // Reads across the root complex return ones; in this direction a copy needs none.
    const { code, stdout } = await probe(
      ...[NVME2, CARD, NVME0, ...machine("writes"), "--output-format", "json"],
    );
    assert.equal(code, 0);
    const { legs, verdict } = probeReport.parse(JSON.parse(stdout));
    assert.equal(verdict, "proved");
    assert.deepEqual(
      legs.map(({ required, outcome }) => [required, outcome]),
      [
        [true, "proved"],
        [true, "proved"],
        [false, "lost"],
        [false, "proved"],
      ],
    );
  });

  it("writes JSON with every leg, the faults and the verdict", async () => {
    const { code, stdout } = await probe(
      ...[`${NVME0}/1@1m+64k`, `${NVME0}/cmb`, NVME1, "--output-format", "json"],
    );
    assert.equal(code, 0);
    const report = probeReport.parse(JSON.parse(stdout));
    assert.equal(report.platform, "loopback");
    assert.equal(report.source, `${NVME0}/1@1m+64k`);
    assert.equal(report.provider, `${NVME0}/cmb`);
    assert.equal(report.destination, `${NVME1}/1`);
    assert.equal(report.verdict, "proved");
    assert.deepEqual(report.faults, []);
    assert.deepEqual(
      report.legs.map(({ client, device, direction, required }) => [
        ...[client, device, direction, required],
      ]),
      [
        ["source", NVME0, "write", true],
        ["destination", NVME1, "read", true],
        ["source", NVME0, "read", false],
        ["destination", NVME1, "write", false],
      ],
    );
  });

  it("writes CSV with a row for each leg, into a file", async () => {
    const file = join(directory, "legs.csv");
    const { code, stdout } = await probe(
      ...[NVME0, CARD, NVME1, "--output-format", "csv", "--output", file],
    );
    assert.equal(code, 0);
    assert.equal(stdout, "");
    const [head, ...legs] = readFileSync(file, "utf8").trimEnd().split("\r\n");
    assert.match(
      head!,
      /^provider,client,device,direction,required,outcome,bytes,faults,detail,verdict$/,
    );
    assert.equal(legs.length, 4);
    for (const leg of legs) assert.match(leg, /,proved,\d+,0,[^,]+,proved$/);
  });

  const refusals: [title: string, code: string, exit: number, args: string[]][] = [
    ["a device that is no NVMe controller", "NOT_NVME", 1, [CARD, CARD, NVME1]],
    ["a provider that is not there", "NO_PROVIDER", 1, [NVME0, `${NVME1}/cmb`, NVME1]],
    ["a namespace that is not there", "NO_NAMESPACE", 1, [`${NVME0}/7`, CARD, NVME1]],
    [
      "a scratch range without a length",
      "BAD_ARGUMENT",
      2,
      [NVME0, CARD, NVME1, "--scratch", NVME1],
    ],
  ];
  for (const [title, error, exit, args] of refusals)
    it(`refuses ${title}`, async () => {
      const { code, stdout, stderr } = await probe(...args);
      assert.equal(code, exit);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^p2pmem: ${error}: [^\n]+; hint: [^\n]+\n$`));
    });
});
