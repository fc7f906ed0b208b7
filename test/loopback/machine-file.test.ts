import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { addon } from "#lib/addon.js";
import type { P2pError } from "#lib/errors.js";
import { builtinMachines, loadMachineFile } from "#lib/platform/machine-file.js";

describe("machine files", () => {
  let directory: string;
  const load = (text: string) => {
    const file = path.join(directory, "machine.yaml");
    writeFileSync(file, text);
    return loadMachineFile(file);
  };
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("need no more than a list of ports", () => {
    assert.deepEqual(load("root_ports:\n  - device: nvme\n"), {
      name: "machine",
      iovaBits: 48,
      rootPorts: [
        {
          acs: ["sv", "rr", "cr", "uf"],
          device: {
            kind: "nvme",
            driver: "vfio-pci",
            serial: "P2PMEM0000",
            cmb: 0,
            maxTransfer: 512 * 1024,
            doorbellStride: 0,
            namespaces: [{ size: 128 << 20, block: 512, file: null }],
          },
        },
      ],
    });
  });

  it("can say everything", () => {
    const text = `
iova_bits: 39
root_ports:
  - device: switch
    acs: []
    ports:
      - device: nvme
        acs: [rr, cr]
        driver: nvme
        serial: ABC
        cmb: 1m
        max_transfer: 128k
        doorbell_stride: 2
        namespaces:
          - { size: 1g, block: 4k }
          - { file: disk.img }
          - { file: /dev/shm/other.img, size: 8m }
      - device: card
        driver: none
        memory: 16MiB
`;
    assert.deepEqual(load(text), {
      name: "machine",
      iovaBits: 39,
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
                  cmb: 1 << 20,
                  maxTransfer: 128 << 10,
                  doorbellStride: 2,
                  namespaces: [
                    { size: 2 ** 30, block: 4096, file: null },
                    { size: 0, block: 512, file: path.join(directory, "disk.img") },
                    { size: 8 << 20, block: 512, file: "/dev/shm/other.img" },
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
    assert.deepEqual({ ...load(example?.[1] ?? ""), name: "default" }, builtinMachines.default);
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
      "an unknown key",
      "root_ports:\n  - device: nvme\n    cbm: 64m\n",
      /:3: root_ports\[0\]\.cbm: no such key; allowed here: device, acs, driver/,
    ],
    [
      "an unknown device",
      "root_ports:\n  - device: gpu\n",
      /:2: root_ports\[0\]\.device: must say switch, nvme or card/,
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
      "a card without memory",
      "root_ports:\n  - device: switch\n    ports:\n      - device: card\n",
      /:4: root_ports\[0\]\.ports\[0\]\.memory: must be a size/,
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
      "an empty switch",
      "root_ports:\n  - device: switch\n    ports: []\n",
      /:3: root_ports\[0\]\.ports: must have a port/,
    ],
  ];
  for (const [title, text, message] of bad)
    it(`are refused with file, line and field: ${title}`, () => {
      assert.throws(
        () => load(text),
        (error: P2pError) => {
          assert.equal(error.code, "BAD_MACHINE_FILE");
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(path.join(directory, "machine.yaml:")));
          assert.ok(!error.message.includes("\n"));
          return true;
        },
      );
    });

  it("must exist", () => {
    const missing = path.join(directory, "missing.yaml");
    assert.throws(() => loadMachineFile(missing), { code: "BAD_MACHINE_FILE", errno: 2 });
  });
});
