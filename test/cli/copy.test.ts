import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { p2pmem, type CommandResult } from "../support/command.js";
import { copyReport, deviceReport } from "../support/result-schema.js";

interface Facts {
  nvme: string[];
  cmb: string;
  card: string;
  cardSize: number;
  namespaceSize: number;
}

/** Who is who on the default loopback machine. */
async function readFacts(): Promise<Facts> {
  const { stdout } = await p2pmem("list", "--platform", "loopback", "--output-format", "json");
  const { controllers, providers } = deviceReport.parse(JSON.parse(stdout));
  const nvme = controllers.map(({ address }) => address);
  const card = providers.find(({ device }) => !nvme.includes(device))!;
  return {
    nvme,
    cmb: providers.find(({ name }) => name.endsWith("/cmb"))!.name,
    card: card.device,
    cardSize: card.bytes,
    namespaceSize: controllers[0]!.namespaces[0]!.bytes,
  };
}

function assertFailure(result: CommandResult, code: string, message: RegExp, exit = 1): void {
  assert.match(result.stderr, new RegExp(`^p2pmem: ${code}: [^\n]+\n$`));
  assert.match(result.stderr, message);
  assert.match(result.stderr, /; hint: \S/);
  assert.equal(result.code, exit);
}

describe("p2pmem copy", () => {
  let facts: Facts;
  let directory: string;
  const copy = (...args: string[]): Promise<CommandResult> =>
    p2pmem("copy", "--platform", "loopback", ...args);

  before(async () => {
    facts = await readFacts();
    directory = mkdtempSync(join(tmpdir(), "p2pmem-copy-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("copies by several jobs, and inside a controller, as the documented JSON", async () => {
    const [first, second] = facts.nvme;
    for (const args of [
      [`${first}@0+1m`, second!, "--provider", facts.card, "--jobs", "2"],
      [`${first}@0+1m`, `${first}@2m`, "--via", "nvme-copy", "--jobs", "2"],
    ]) {
      const { code, stdout, stderr } = await copy(...args, "--verify", "--output-format", "json");
      assert.equal(code, 0, stderr);
      const [result] = copyReport.parse(JSON.parse(stdout)).results;
      assert.equal(result!.jobs, 2);
      assert.equal(result!.bytes, 1 << 20);
      assert.deepEqual(result!.verify, { blocks: 8, mismatches: 0, first: null });
      assert.equal(result!.provider === null, args.includes("nvme-copy"));
    }
    const between = await copy(first!, second!, "--via", "nvme-copy");
    assertFailure(between, "UNSUPPORTED", /inside one controller/);
    const none = await copy(first!, second!, "--jobs", "0");
    assert.match(none.stderr, /^p2pmem: BAD_ARGUMENT: --jobs: [^\n]+\n$/);
    assert.equal(none.code, 2);
  });

  for (const descriptors of ["auto", "prp", "sgl"])
    it(`copies with --descriptors ${descriptors}, verified`, async () => {
      const [source, destination] = facts.nvme as [string, string];
      const { code, stderr } = await copy(
        ...[source, `${destination}/1@1m`, "--provider", facts.card, "--size", "1m", "--verify"],
        ...["--bs", "64k", "--descriptors", descriptors],
      );
      assert.equal(code, 0, stderr);
    });

  it("refuses SGLs to a controller that takes none, and descriptors that there are not", async () => {
    const machine = join(directory, "no-sgl.yaml");
    writeFileSync(machine, "root_ports:\n  - device: nvme\n    sgl: none\n  - device: nvme\n");
    const names = ["0000:01:00.0", "0000:02:00.0", "--via", "host", "--size", "1m"];
    const none = ["--machine", machine, ...names];
    assertFailure(await copy(...none, "--descriptors", "sgl"), "UNSUPPORTED", /takes no SGLs/);
    assert.equal((await copy(...none, "--descriptors", "auto", "--verify")).code, 0);
    assert.equal((await copy(...none, "--descriptors", "both")).code, 2);
  });

  for (const via of ["p2p", "host", "cpu"])
    it(`copies via ${via}, verified, and says what crossed host memory`, async () => {
      const [source, destination] = facts.nvme as [string, string];
      const { code, stdout, stderr } = await copy(
        ...[source, `${destination}/1@1m`, "--via", via, "--provider", facts.card],
        ...["--size", "8m", "--bs", "64k", "--iodepth", "8", "--verify", "--output-format", "json"],
      );
      assert.equal(code, 0, stderr);
      const { results } = copyReport.parse(JSON.parse(stdout));
      const [result] = results;
      assert.equal(results.length, 1);
      assert.equal(result!.bytes, 8 << 20);
      assert.equal(result!.provider === null, via === "host");
      assert.deepEqual(result!.verify, { blocks: 128, mismatches: 0, first: null });
      assert.equal(result!.traffic.source, "counted");
      assert.ok(result!.limit_bw_bytes! > 0);
      if (via === "p2p") {
        assert.equal(result!.traffic.host_memory_bytes, 0);
        assert.equal(result!.traffic.root_complex_bytes, 0);
      } else assert.ok(result!.traffic.host_memory_bytes! >= 2 * (8 << 20));
    });

  it("puts queues and lists where the options say, and says what is where", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const args = [source, destination, "--via", "host", "--size", "1m", "--verify"];
    const lists = ["--lists-in-cmb", "--descriptors", "prp"];
    const json = await copy(...args, "--sq-in-cmb", ...lists, "--output-format", "json");
    assert.equal(json.code, 0, json.stderr);
    const [result] = copyReport.parse(JSON.parse(json.stdout)).results;
    assert.deepEqual(result!.in_cmb, ["src sq", "src lists"]);
    const { stdout } = await copy(...args, "--sq-in-cmb");
    assert.match(
      stdout,
      new RegExp(`note: not all in a CMB: ${destination} has no controller mem`),
    );
    const [, other, third] = facts.nvme as [string, string, string];
    assertFailure(
      await copy(other, third, "--via", "host", "--size", "1m", "--sq-in-cmb"),
      "NO_ABILITY",
      /has no controller memory buffer/,
    );
  });

  it("takes the closest provider where none is named, and says which", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const { code, stdout } = await copy(source, destination, "--size", "1m");
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^[^\n]*loopback[^\n]*\n[^\n]*through ${facts.cmb}\n`));
  });

  it("says which machine and provider it took before anything runs", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const { code, stdout } = await copy(`${source}@100`, destination);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^[^\n]*loopback[^\n]*\n[^\n]*through ${facts.cmb}\n\n$`));
  });

  it("reports data that is not the source's, and exits with 3", async () => {
    // Two namespaces over one file: what is written through the second changes the first behind
    // its back, so that the source read again differs from what was copied.
    const disk = join(directory, "disk");
    writeFileSync(
      disk,
      Buffer.from(Uint32Array.from({ length: 2 ** 18 }, (_, i) => i * 2654435761).buffer),
    );
    const machine = join(directory, "machine.yaml");
    writeFileSync(
      machine,
      `root_ports:
  - device: nvme
    namespaces: [{ file: disk }]
  - device: nvme
    namespaces: [{ file: disk }]
  - { device: card, memory: 64m }
`,
    );
    const listed = await p2pmem("list", "--machine", machine, "--output-format", "json");
    assert.equal(listed.code, 0, listed.stderr);
    const { controllers } = deviceReport.parse(JSON.parse(listed.stdout));
    const { code, stdout, stderr } = await p2pmem(
      ...["copy", `${controllers[0]!.address}@256k`, controllers[1]!.address],
      ...["--machine", machine, "--size", "512k", "--bs", "64k", "--verify"],
      ...["--output-format", "json"],
    );
    assert.equal(code, 3, stderr);
    const { results } = copyReport.parse(JSON.parse(stdout));
    assert.equal(results[0]!.verify!.blocks, 8);
    const { mismatches, first } = results[0]!.verify!;
    assert.ok(mismatches > 0);
    assert.match(first!, new RegExp(`^${controllers[1]!.address}/1, LBA \\d+ .byte \\d+.: `));
    assert.ok(stderr.includes(`p2pmem: first mismatch: ${first!}\n`), stderr);
  });

  it("verifies by each of the modes, and knows no other", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const ends = [source, destination, "--via", "host", "--size", "1m", "--output-format", "json"];
    for (const mode of ["crc32c", "pattern", "memcmp"]) {
      const { code, stdout, stderr } = await copy(...ends, `--verify=${mode}`);
      assert.equal(code, 0, stderr);
      const [result] = copyReport.parse(JSON.parse(stdout)).results;
      assert.deepEqual(result!.verify, { blocks: 8, mismatches: 0, first: null });
    }
    const { code, stderr } = await copy(...ends, "--verify=md5");
    assert.equal(code, 2);
    assert.match(stderr, /Allowed choices are crc32c, pattern, memcmp/);
  });

  it("uses less in flight where the provider is too small, and says so", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const args = [source, destination, "--provider", facts.cmb, "--bs", "4m", "--iodepth", "64"];
    const { code, stdout, stderr } = await copy(...args, "--size", "64m");
    assert.equal(code, 0, stderr);
    const note = /note: 16 blocks in flight, not 64: .*\/cmb has room for no more\n/;
    assert.match(stdout, note);
    const json = await copy(...args, "--size", "64m", "--output-format", "json");
    assert.match(json.stderr, note);
    assert.equal(copyReport.parse(JSON.parse(json.stdout)).results[0]!.iodepth, 16);
  });

  it("goes through the part of a provider that was named", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const provider = `${facts.card}/bar2@1m+256k`;
    const { code, stdout, stderr } = await copy(
      ...[source, destination, "--provider", provider, "--bs", "64k"],
      ...["--size", "4m", "--verify", "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const [result] = copyReport.parse(JSON.parse(stdout)).results;
    assert.deepEqual([result!.provider, result!.iodepth], [provider, 4]);
    assert.deepEqual(result!.verify, { blocks: 64, mismatches: 0, first: null });
  });

  it("writes results to --output, and nothing to standard output", async () => {
    const [source, destination] = facts.nvme as [string, string];
    const path = join(directory, "result.json");
    const { code, stdout } = await copy(
      ...[source, destination, "--size", "1m", "--output-format", "json", "--output", path],
    );
    assert.equal(code, 0);
    assert.equal(stdout, "");
    copyReport.parse(JSON.parse(readFileSync(path, "utf8")));
  });

  describe("refuses, with one line and before anything is written,", () => {
    const refusals: [string, string, RegExp, (facts: Facts) => string[]][] = [
      [
        "a device that is not there",
        "UNKNOWN_DEVICE",
        /0000:7f:00\.0/,
        ({ nvme }) => [nvme[0]!, "0000:7f:00.0"],
      ],
      [
        "a device that is no NVMe controller",
        "NOT_NVME",
        /no NVMe/,
        ({ nvme, card }) => [nvme[0]!, card],
      ],
      [
        "a namespace that is not there",
        "NO_NAMESPACE",
        /namespace 9/,
        ({ nvme }) => [nvme[0]!, `${nvme[1]!}/9`],
      ],
      [
        "a provider that the device does not have",
        "NO_PROVIDER",
        /provides no cmb/,
        ({ nvme }) => [nvme[0]!, nvme[1]!, "--provider", `${nvme[1]!}/cmb`],
      ],
      [
        "registers as a provider",
        "NOT_MAPPABLE",
        /registers and doorbells of an NVMe controller/,
        ({ nvme }) => [nvme[0]!, nvme[1]!, "--provider", `${nvme[1]!}/bar0@4k+4k`],
      ],
      [
        "a provider past the end of its memory",
        "BAD_RANGE",
        /cmb@64m\+4k reaches past the end/,
        ({ nvme, cmb }) => [nvme[0]!, nvme[1]!, "--provider", `${cmb}@64m+4k`],
      ],
      [
        "an unaligned offset",
        "UNALIGNED",
        /offset 100 /,
        ({ nvme }) => [`${nvme[0]!}@100`, nvme[1]!, "--size", "1m"],
      ],
      [
        "an unaligned size",
        "UNALIGNED",
        /size 1000 /,
        ({ nvme }) => [nvme[0]!, nvme[1]!, "--size", "1000"],
      ],
      [
        "an unaligned block size",
        "UNALIGNED",
        /block size 1000 /,
        ({ nvme }) => [nvme[0]!, nvme[1]!, "--bs", "1000", "--size", "1m"],
      ],
      [
        "a range past the source's end",
        "BAD_RANGE",
        /past the end/,
        ({ nvme, namespaceSize }) => [`${nvme[0]!}@${namespaceSize - 4096}+8k`, nvme[1]!],
      ],
      [
        "a range past the destination's end",
        "BAD_RANGE",
        /past the end/,
        ({ nvme }) => [nvme[0]!, `${nvme[1]!}@1m`],
      ],
      ["an empty range", "BAD_RANGE", /./, ({ nvme }) => [`${nvme[0]!}@0+0`, nvme[1]!]],
      [
        "ranges that overlap",
        "OVERLAP",
        /overlap/,
        ({ nvme }) => [`${nvme[0]!}@0+2m`, `${nvme[0]!}@1m`],
      ],
      [
        "a block that the provider has no room for",
        "NO_ROOM",
        /too little/,
        ({ nvme, cmb }) => [nvme[0]!, nvme[1]!, "--provider", cmb, "--bs", "128m"],
      ],
      [
        "a file that cannot be written",
        "OUTPUT_FILE",
        /ENOENT/,
        ({ nvme }) => [nvme[0]!, nvme[1]!, "--output", "/nonexistent/result"],
      ],
    ];
    for (const [title, code, message, args] of refusals)
      it(title, async () => {
        const disk = join(directory, "results");
        const output = args(facts).includes("--output") ? [] : ["--output", disk];
        const result = await copy(...args(facts), ...output);
        assertFailure(result, code, message);
        assert.equal(result.stdout, "");
        assert.ok(!readdirSync(directory).some((name) => name.startsWith("results")));
      });

    describe("devices that are not free:", () => {
      let machine: string;
      let addresses: string[];

      before(async () => {
        machine = join(directory, "busy.yaml");
        writeFileSync(
          machine,
          `root_ports:
  - device: switch
    ports: [{ device: nvme, cmb: 1m }, { device: nvme, driver: nvme }]
  - { device: nvme, driver: none }
  - { device: nvme, cmb: 1m }
`,
        );
        const { stdout } = await p2pmem("list", "--machine", machine, "--output-format", "json");
        const { controllers } = deviceReport.parse(JSON.parse(stdout));
        assert.deepEqual(
          controllers.map(({ error }) => error?.code),
          ["GROUP_NOT_VIABLE", "NOT_BOUND", "NOT_BOUND", undefined],
          "the list shows who is not",
        );
        addresses = controllers.map(({ address }) => address);
      });

      it("one with another driver, and how to bind it", async () => {
        const result = await p2pmem(
          ...["copy", addresses[3]!, addresses[1]!, "--machine", machine, "--size", "1m"],
        );
        assertFailure(result, "NOT_BOUND", new RegExp(`${addresses[1]!}.*hint: .*vfio-pci`));
      });

      it("one whose group holds another driver's device, by name", async () => {
        const result = await p2pmem(
          ...["copy", addresses[0]!, addresses[3]!, "--machine", machine, "--size", "1m"],
        );
        assertFailure(result, "GROUP_NOT_VIABLE", new RegExp(addresses[1]!));
      });
    });

    it("a malformed machine file, by line and field", async () => {
      const machine = join(directory, "bad.yaml");
      writeFileSync(machine, "root_ports:\n  - device: nvme\n    namespaces: [{ size: huge }]\n");
      const result = await p2pmem("list", "--machine", machine);
      assertFailure(result, "BAD_MACHINE_FILE", /bad\.yaml:3\b.*size/, 2);
    });

    it("a machine file that names an image that cannot be opened, likewise", async () => {
      const machine = join(directory, "image.yaml");
      writeFileSync(
        machine,
        "root_ports:\n  - device: nvme\n    namespaces: [{ file: none.img }]\n",
      );
      const result = await p2pmem("list", "--machine", machine);
      assertFailure(
        result,
        "BAD_MACHINE_FILE",
        /image\.yaml:3\b.*file: cannot open .*none\.img/,
        2,
      );
    });

    it("a machine file that is not there", async () => {
      const result = await p2pmem("list", "--machine", join(directory, "none.yaml"));
      assertFailure(result, "BAD_MACHINE_FILE", /none\.yaml/, 2);
    });
  });
});
