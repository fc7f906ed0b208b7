import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bin, p2pmem } from "../support/command.js";

const NVME0 = "0000:03:00.0";
const LOOPBACK = ["--platform", "loopback"];

async function identify(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await p2pmem("identify", ...args, ...LOOPBACK);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function identifyJson(...args: string[]): Promise<Record<string, Record<string, unknown>>> {
  return JSON.parse(await identify(...args, "--json")) as never;
}

describe("p2pmem identify", () => {
  it("shows a controller, a line for each field with what its bits say, and its namespaces", async () => {
    const text = await identify(NVME0);
    assert.match(text, /^NVMe controller 0000:03:00\.0\nvid {7}: 0x1b36\n/);
    assert.match(text, /\nmdts {6}: 7 {2}512 KiB\n/);
    assert.match(text, /\nver {7}: 0x10400 {2}1\.4\.0\n/);
    assert.match(text, /\noncs {6}: 0x15d {2}compare, dataset management, write zeroes, /);
    assert.match(text, /\nps 0 {6}: 5 W, operational, /);
    assert.match(
      text,
      /\nNamespaces\n {2}nsid +size +block +metadata\n +1 +128 MiB +512 B +0 B\n$/,
    );
    for (const line of text.split("\n")) assert.ok(line.length <= 100, line);
  });

  it("shows a namespace, its formats, and what names it", async () => {
    const text = await identify(`${NVME0}/1`);
    assert.match(text, /^NVMe namespace 0000:03:00\.0\/1\nnsze {6}: 262144 {2}128 MiB\n/);
    assert.match(text, /\nlbaf 0 {4}: ms 0, lbads 9 \(512 B\), rp 0 \(in use\)\n/);
    assert.match(text, /\nid nguid {2}: [0-9a-f]{32}\n$/);
  });

  it("writes JSON by the specification's names, the same by either option", async () => {
    const report = await identifyJson(NVME0);
    const { controller } = report;
    assert.deepEqual(
      [controller!.vid, controller!.mdts, controller!.sn, controller!.tnvmcap],
      [0x1b36, 7, "P2PMEM0000", "0"],
    );
    assert.equal((controller!.psds as unknown[]).length, 1);
    assert.deepEqual(report.namespaces, [
      { nsid: 1, bytes: 128 << 20, block_bytes: 512, metadata_bytes: 0 },
    ]);
    const same = await identify(NVME0, "--output-format", "json");
    assert.deepEqual(JSON.parse(same), report);
    const { namespace } = await identifyJson(`${NVME0}/1`);
    assert.deepEqual([namespace!.nsid, namespace!.nsze, namespace!.nvmcap], [1, 262144, "0"]);
    assert.deepEqual(namespace!.lbafs, [
      { ms: 0, lbads: 9, rp: 0 },
      { ms: 0, lbads: 12, rp: 0 },
    ]);
    const { eui64, uuid } = namespace!.descriptors as Record<string, string | null>;
    assert.deepEqual([eui64, uuid], [namespace!.eui64, null]);
  });

  it("writes CSV with a row for each field", async () => {
    const rows = (await identify(`${NVME0}/1`, "--output-format", "csv")).split("\r\n");
    assert.equal(rows[0], "structure,field,value");
    for (const row of ["namespace1,nsze,262144", "lbaf1,lbads,12", "descriptors,uuid,"])
      assert.ok(rows.includes(row), row);
    const regs = await identify(NVME0, "--regs", "--output-format", "csv");
    assert.ok(regs.split("\r\n").includes("VS,MJR,1"), regs);
  });

  it("shows registers bit by bit, of a controller that it does not start", async () => {
    const { registers } = await identifyJson(NVME0, "--regs");
    const { CAP, VS, CC, CSTS, CMBSZ, PMRCAP } = registers as Record<
      string,
      Record<string, unknown>
    >;
    assert.deepEqual([CAP!.MQES, CAP!.CMBS, CAP!.value], [4095, 1, "0x20000200f010fff"]);
    assert.deepEqual(VS, { value: "0x10400", TER: 0, MNR: 4, MJR: 1 });
    assert.deepEqual([CC!.EN, CSTS!.RDY], [0, 0]);
    assert.deepEqual([CMBSZ!.SZU, CMBSZ!.SZ], [2, 64], "hidden, and yet shown");
    assert.equal(PMRCAP!.value, "0x0");
    const text = await identify(NVME0, "--regs");
    assert.match(
      text,
      /^NVMe controller 0000:03:00\.0: registers\nCAP {7}: 0x20000200f010fff {2}MQES 4095, /,
    );
    for (const line of text.split("\n")) assert.ok(line.length <= 100, line);
  });

  it("writes the structure as it is, to a pipe or a file", async () => {
    const directory = mkdtempSync(join(tmpdir(), "p2pmem-identify-"));
    try {
      const file = join(directory, "id.bin");
      assert.equal(await identify(`${NVME0}/1`, "--raw", "--output", file), "");
      const namespace = readFileSync(file);
      assert.equal(namespace.length, 4096);
      assert.equal(namespace.readBigUInt64LE(0), 262144n);
      const args = [bin, "identify", NVME0, "--raw", ...LOOPBACK];
      const { status, stdout } = spawnSync(process.execPath, args);
      assert.deepEqual([status, stdout.length], [0, 4096]);
      assert.equal(stdout.readUInt16LE(0), 0x1b36);
      assert.equal(stdout.toString("latin1", 4, 24), "P2PMEM0000".padEnd(20));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  const refusals: [code: string, exit: number, ...args: string[]][] = [
    ["NO_NAMESPACE", 1, `${NVME0}/2`],
    ["NO_NAMESPACE", 1, `${NVME0}/2`, "--raw"],
    ["NOT_NVME", 1, "0000:05:00.0"],
    ["NOT_NVME", 1, "0000:05:00.0", "--regs"],
    ["UNKNOWN_DEVICE", 1, "0000:99:00.0"],
    ["BAD_ENDPOINT", 2, `${NVME0}/0`],
    ["BAD_ENDPOINT", 2, `${NVME0}/4294967295`],
    ["BAD_ENDPOINT", 2, `${NVME0}@4k`],
    ["BAD_ENDPOINT", 2, "nvme0"],
    ["BAD_ARGUMENT", 2],
    ["BAD_ARGUMENT", 2, `${NVME0}/1`, "--regs"],
    ["BAD_ARGUMENT", 2, NVME0, "--raw", "--json"],
    ["BAD_ARGUMENT", 2, NVME0, "--raw", "--regs"],
    ["BAD_ARGUMENT", 2, NVME0, "--json", "--output-format", "csv"],
  ];
  for (const [code, exit, ...args] of refusals)
    it(`${code}: p2pmem identify ${args.join(" ")}`, async () => {
      const result = await p2pmem("identify", ...args, ...LOOPBACK);
      assert.equal(result.stdout, "");
      assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\\n]+\\n$`));
      assert.equal(result.code, exit);
    });

  it("keeps bytes off a terminal", () => {
    // script(1) gives the command a terminal.
    const command = `'${process.execPath}' '${bin}' identify ${NVME0} --raw ${LOOPBACK.join(" ")}`;
    const { status, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
      encoding: "latin1",
    });
    assert.equal(status, 2);
    assert.match(stdout, /^p2pmem: BAD_ARGUMENT: --raw writes bytes [^\r\n]+\r\n$/);
  });
});
