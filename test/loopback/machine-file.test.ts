import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { addon } from "#lib/addon.js";
import type { P2pError } from "#lib/errors.js";
import { choosePlatform } from "#lib/choose-platform.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { MachineFile } from "#lib/platform/machine-file.js";

describe("machine files", () => {
  let directory: string;
  const load = (text: string) => {
    const file = path.join(directory, "machine.yaml");
    writeFileSync(file, text);
    return new MachineFile(file);
  };
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("need no more than a list of ports", () => {
    assert.deepEqual(load("root_ports:\n  - device: nvme\n").configuration, {
      name: "machine",
      iovaBits: 48,
      hostBridge: { forwards: "all" },
      rootPorts: [
        {
          acs: ["sv", "rr", "cr", "uf"],
          device: {
            kind: "nvme",
            driver: "vfio-pci",
            serial: "P2PMEM0000",
            cmb: null,
            pmr: null,
            sgl: "byte",
            copy: { formats: [0, 1, 2, 3], maxRanges: 128, rangeBlocks: 1024, blocks: 4096 },
            shadowDoorbells: false,
            maxTransfer: 512 * 1024,
            doorbellStride: 0,
            namespaces: [{ size: 128 << 20, block: 512, file: null }],
            faults: [],
          },
        },
      ],
    });
  });

  it("can say everything", () => {
    const text = `
iova_bits: 39
host_bridge: { forwards: writes }
root_ports:
  - device: switch
    acs: []
    ports:
      - device: nvme
        acs: [rr, cr]
        driver: nvme
        serial: ABC
        cmb: { size: 48m, offset: 192k, unit: 64k, legacy: true, cqs: false }
        pmr: { size: 16m, file: pmr.img }
        sgl: dword
        copy: { formats: [0], max_ranges: 2, max_range_blocks: 3, max_blocks: 4 }
        shadow_doorbells: true
        max_transfer: 128k
        doorbell_stride: 2
        namespaces:
          - { size: 1g, block: 4k }
          - { file: disk.img }
          - { file: /dev/shm/other.img, size: 8m }
        faults:
          - { on: read, after: 3, count: 2, effect: hang, abort: false }
          - { status: [2, 0x81], dnr: true }
      - device: card
        driver: none
        memory: 16MiB
`;
    assert.deepEqual(load(text).configuration, {
      name: "machine",
      iovaBits: 39,
      hostBridge: { forwards: "writes" },
      rootPorts: [
        {
          acs: [],
          device: {
            kind: "switch",
            ports: [
              {
                acs: ["rr", "cr"],
                device: {
                  kind: "nvme",
                  driver: "nvme",
                  serial: "ABC",
                  cmb: {
                    ...{ size: 48 << 20, offset: 192 << 10, unit: 64 << 10, legacy: true },
                    ...{ sqs: true, cqs: false, lists: true, rds: true, wds: true, mixed: false },
                  },
                  pmr: { size: 16 << 20, file: path.join(directory, "pmr.img") },
                  sgl: "dword",
                  copy: { formats: [0], maxRanges: 2, rangeBlocks: 3, blocks: 4 },
                  shadowDoorbells: true,
                  maxTransfer: 128 << 10,
                  doorbellStride: 2,
                  namespaces: [
                    { size: 2 ** 30, block: 4096, file: null },
                    { size: 0, block: 512, file: path.join(directory, "disk.img") },
                    { size: 8 << 20, block: 512, file: "/dev/shm/other.img" },
                  ],
                  faults: [
                    { on: "read", after: 3, count: 2, effect: "hang", abort: false },
                    { on: "any", after: 0, count: 1, status: [2, 0x81], dnr: true },
                  ],
                },
              },
              { acs: [], device: { kind: "card", driver: null, memory: 16 << 20 } },
            ],
          },
        },
      ],
    });
  });

  it("describe what the built-in machines are", () => {
    const example = /```yaml\n(# default\n[^]*?)```/.exec(
      readFileSync("docs/machine-file.md", "utf8"),
    );
    const { configuration } = load(example?.[1] ?? "");
    assert.deepEqual({ ...configuration, name: "default" }, builtinMachines.default);
    for (const machine of Object.values(builtinMachines))
      addon().createLoopbackMachine(machine).close();
  });

  const bad: [title: string, text: string, message: RegExp][] = [
    ["nothing", "", /:1: the file: must be a mapping/],
    ["a list", "- nvme\n", /:1: the file: must be a mapping/],
    ["broken YAML", "root_ports:\n  - device: [nvme\n", /:3: /],
    ["the same key twice", "iova_bits: 39\niova_bits: 48\n", /:2: .*unique/],
    ["no ports", "\nroot_ports: []\n", /:2: root_ports: must have a port at least/],
    ["ports that are missing", "iova_bits: 39\n", /:1: root_ports: must be a list of ports/],
    [
      "a host bridge that forwards something else",
      "root_ports: [{ device: nvme }]\nhost_bridge: { forwards: reads }\n",
      /:2: host_bridge\.forwards: must be all, writes or none/,
    ],
    [
      "an unknown key",
      "root_ports:\n  - device: nvme\n    cbm: 64m\n",
      /:3: root_ports\[0\]\.cbm: no such key; allowed here: device, acs, driver/,
    ],
    [
      "an unknown device",
      "root_ports:\n  - device: gpu\n",
      /:2: root_ports\[0\]\.device: must say switch, nvme, card or rnic/,
    ],
    [
      "a port that says nothing",
      "root_ports:\n  - acs: []\n",
      /:2: root_ports\[0\]\.device: must say/,
    ],
    [
      "a size that is none",
      "root_ports:\n  - device: nvme\n    cmb: lots\n",
      /:3: root_ports\[0\]\.cmb: "lots" is not a size/,
    ],
    [
      "a CMB of an odd size",
      "root_ports:\n  - device: nvme\n    cmb: 63m\n",
      /:3: root_ports\[0\]\.cmb: must be a power of two from 4 KiB/,
    ],
    [
      "a CMB of no size",
      "root_ports:\n  - device: nvme\n    cmb: { offset: 1m }\n",
      /:3: root_ports\[0\]\.cmb\.size: must be a size/,
    ],
    [
      "a CMB with an unknown ability",
      "root_ports:\n  - device: nvme\n    cmb:\n      size: 1m\n      rdz: true\n",
      /:5: root_ports\[0\]\.cmb\.rdz: no such key; allowed here: size, offset, unit, legacy/,
    ],
    [
      "a CMB whose offset is no multiple of its unit",
      "root_ports:\n  - device: nvme\n    cmb: { size: 2m, unit: 1m, offset: 64k }\n",
      /:3: root_ports\[0\]\.cmb\.offset: must be a multiple of the unit, 1 MiB,/,
    ],
    [
      "a CMB unit that there is not",
      "root_ports:\n  - device: nvme\n    cmb: { size: 2m, unit: 8k }\n",
      /:3: root_ports\[0\]\.cmb\.unit: must be one of 4 KiB, 64 KiB, 1 MiB/,
    ],
    [
      "a CMB of 1.3 with what came with 1.4",
      "root_ports:\n  - device: nvme\n    cmb: { size: 2m, legacy: true, mixed: true }\n",
      /:3: root_ports\[0\]\.cmb\.mixed: came with NVMe 1\.4/,
    ],
    [
      "a PMR of an odd size",
      "root_ports:\n  - device: nvme\n    pmr: 3m\n",
      /:3: root_ports\[0\]\.pmr: must be a power of two from 4 KiB/,
    ],
    [
      "a Copy format that there is not",
      "root_ports:\n  - device: nvme\n    copy: { formats: [0, 4] }\n",
      /:3: root_ports\[0\]\.copy\.formats\[1\]: must be one of 0, 1, 2, 3/,
    ],
    [
      "a Copy of more than 256 ranges",
      "root_ports:\n  - device: nvme\n    copy: { max_ranges: 257 }\n",
      /:3: root_ports\[0\]\.copy\.max_ranges: must be a whole number from 1 to 256/,
    ],
    [
      "a card without memory",
      "root_ports:\n  - device: switch\n    ports:\n      - device: card\n",
      /:4: root_ports\[0\]\.ports\[0\]\.memory: must be a size/,
    ],
    [
      "a wire with two roles",
      "root_ports:\n  - device: rnic\n    wire: { listen: a, connect: b }\n",
      /:3: root_ports\[0\]\.wire: needs one of listen and connect, and no more/,
    ],
    [
      "a fault of a NIC that is none",
      "root_ports:\n  - device: rnic\n    faults: [{ effect: hang }]\n",
      /:3: root_ports\[0\]\.faults\[0\]\.effect: must be one of lose, corrupt/,
    ],
    [
      "an unknown ACS bit",
      "root_ports:\n  - device: nvme\n    acs: [rr, xx]\n",
      /:3: root_ports\[0\]\.acs\[1\]: must be one of sv, tb, rr, cr, uf/,
    ],
    [
      "a namespace without size",
      "root_ports:\n  - device: nvme\n    namespaces:\n      - block: 4k\n",
      /:4: root_ports\[0\]\.namespaces\[0\]: needs a size, or a file/,
    ],
    [
      "a ragged namespace",
      "root_ports:\n  - device: nvme\n    namespaces:\n      - block: 4k\n        size: 1000\n",
      /:5: root_ports\[0\]\.namespaces\[0\]\.size: must be a multiple of the block size/,
    ],
    [
      "a block size that no format has",
      "root_ports:\n  - device: nvme\n    namespaces: [{ size: 1m, block: 520 }]\n",
      /:3: root_ports\[0\]\.namespaces\[0\]\.block: must be 512 or 4096/,
    ],
    [
      "a fault without an effect",
      "root_ports:\n  - device: nvme\n    faults:\n      - { on: read }\n",
      /:4: root_ports\[0\]\.faults\[0\]: needs one of effect, delay, status and event/,
    ],
    [
      "a fault with two effects",
      "root_ports:\n  - device: nvme\n    faults: [{ delay: 1, effect: hang }]\n",
      /:3: root_ports\[0\]\.faults\[0\]: needs one of/,
    ],
    [
      "a fault with a status that there is not",
      "root_ports:\n  - device: nvme\n    faults: [{ status: [8, 0] }]\n",
      /:3: root_ports\[0\]\.faults\[0\]\.status: must be \[status code type, status code\]/,
    ],
    [
      "a fault that Abort is to end, though it does not hang",
      "root_ports:\n  - device: nvme\n    faults: [{ effect: fatal, abort: true }]\n",
      /:3: root_ports\[0\]\.faults\[0\]\.abort: goes with effect: hang only/,
    ],
    [
      "a width that no IOMMU has",
      "iova_bits: 40\nroot_ports: [{ device: nvme }]\n",
      /:1: iova_bits: must be 39 or 48/,
    ],
    [
      "a stride too wide",
      "root_ports:\n  - device: nvme\n    doorbell_stride: 9\n",
      /:3: root_ports\[0\]\.doorbell_stride: must be a whole number from 0 to 8/,
    ],
    [
      "more root ports than a bus has room for, beside the host bridge",
      `root_ports:\n${"  - device: nvme\n".repeat(32)}`,
      /:1: root_ports: must be no more than 31 ports/,
    ],
    [
      "more ports than a switch has",
      `root_ports:\n  - device: switch\n    ports:\n${"      - device: nvme\n".repeat(33)}`,
      /:3: root_ports\[0\]\.ports: must be no more than 32 ports/,
    ],
    [
      "an alias of what it is part of",
      "root_ports: &a\n  - device: switch\n    ports: *a\n",
      /:3: \*a is part of what it refers to/,
    ],
    [
      "an alias further inside of what it is part of",
      "root_ports:\n  - &a\n    device: switch\n    ports:\n      - device: switch\n        ports: [*a]\n",
      /:6: \*a is part of what it refers to/,
    ],
    [
      "an empty switch",
      "root_ports:\n  - device: switch\n    ports: []\n",
      /:3: root_ports\[0\]\.ports: must have a port/,
    ],
  ];
  const assertMistake = (error: P2pError, message: RegExp): true => {
    assert.equal(error.code, "BAD_MACHINE_FILE");
    assert.match(error.message, message);
    assert.ok(error.message.startsWith(path.join(directory, "machine.yaml:")));
    assert.ok(!error.message.includes("\n"));
    assert.ok(error.hint !== undefined);
    return true;
  };
  for (const [title, text, message] of bad)
    it(`are refused with file, line and field: ${title}`, () => {
      assert.throws(
        () => load(text),
        (error: P2pError) => assertMistake(error, message),
      );
    });

  const impossible: [title: string, text: string, message: RegExp, details: object][] = [
    [
      "an image in a directory that is not there",
      "root_ports:\n  - device: nvme\n    namespaces:\n      - size: 1m\n        file: none/x\n",
      /:5: root_ports\[0\]\.namespaces\[0\]\.file: cannot open \/.*none\/x: No such file/,
      { errno: 2, syscall: "open" },
    ],
    [
      "a PMR in a directory that is not there",
      "root_ports:\n  - device: nvme\n    pmr:\n      size: 1m\n      file: none/x\n",
      /:5: root_ports\[0\]\.pmr\.file: cannot open \/.*none\/x: No such file/,
      { errno: 2, syscall: "open" },
    ],
    [
      "a directory in place of an image",
      "root_ports:\n  - device: nvme\n    namespaces: [{ size: 1m, file: . }]\n",
      /:3: root_ports\[0\]\.namespaces\[0\]\.file: cannot open .*: Is a directory/,
      { errno: 21 },
    ],
    [
      "an image smaller than one block, whose name begins as another's",
      `root_ports:
  - device: switch
    ports:
      - { device: card, memory: 1m }
      - device: nvme
        namespaces:
          - { file: empty, size: 1m }
          - { file: empty.img }
`,
      /:8: root_ports\[0\]\.ports\[1\]\.namespaces\[1\]\.file: .*smaller than one block/,
      {},
    ],
    [
      "more memory than there are addresses for",
      "\nroot_ports:\n  - { device: card, memory: 128g }\n  - { device: card, memory: 128g }\n",
      /:2: root_ports: the devices' BARs do not fit/,
      {},
    ],
    [
      "more switches than there are buses for",
      `\nroot_ports: [&a { device: switch, ports: [${Array(32).fill("{ device: nvme }").join()}] }${",*a".repeat(7)}]\n`,
      /:2: root_ports: a machine has room for 256 buses only/,
      {},
    ],
  ];
  for (const [title, text, message, details] of impossible)
    it(`are refused in the same way when the machine cannot be made: ${title}`, async () => {
      writeFileSync(path.join(directory, "empty.img"), "");
      const file = path.join(directory, "machine.yaml");
      writeFileSync(file, text);
      await assert.rejects(
        () => choosePlatform({ platform: "loopback", machine: file }),
        (error: P2pError) => {
          assertMistake(error, message);
          for (const [name, value] of Object.entries(details))
            assert.equal(error[name as keyof P2pError], value);
          return true;
        },
      );
    });

  it("may use the same thing twice, by an alias", () => {
    const text = "root_ports:\n  - &a { device: card, memory: 1m }\n  - *a\n";
    const [one, two] = load(text).configuration.rootPorts;
    assert.deepEqual(one, two);
  });

  it("must exist", () => {
    const missing = path.join(directory, "missing.yaml");
    assert.throws(() => new MachineFile(missing), { code: "BAD_MACHINE_FILE", errno: 2 });
  });
});
