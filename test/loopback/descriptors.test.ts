/** The driver with controllers whose SGLs are not of the usual kind, or that have none. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCopy } from "#lib/copy/copy.js";
import type { Descriptors } from "#lib/nvme/descriptors/data-pointer.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { planOf, store, load, pattern, withVector } from "../device/machine.js";

type Piece = [offset: number, length: number];

const SIZE = 8192;

describe("loopback controllers", () => {
  let directory: string;
  let session: Session;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-sgl-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });
  afterEach(() => session.close());

  /** Two controllers of such a kind. */
  const open = async (sgl: string, descriptors?: Descriptors): Promise<NvmeNamespace[]> => {
    const machine = join(directory, "machine.yaml");
    const port = `  - device: nvme\n    sgl: ${sgl}\n    namespaces: [{ size: 1m }]\n`;
    writeFileSync(machine, `root_ports:\n${port}${port}`);
    session = await Session.open({ platform: "loopback", machine, descriptors });
    const nvme = session.pci.functions.filter((fn) => fn.isNvme);
    const controllers = await Promise.all(nvme.map(({ address }) => session.controller(address)));
    return controllers.map(({ namespaces }) => namespaces[0]!);
  };

  /** Reads 8 KiB, just written, into pieces of host memory. */
  const readInto = async (namespace: NvmeNamespace, pieces: Piece[]): Promise<void> => {
    const bytes = pattern(SIZE, 3);
    await store(session, namespace, 0, bytes);
    const buffer = session.addressSpace.allocate(4 * SIZE);
    const list = new ScatterList(session.addressSpace);
    for (const [offset, length] of pieces) list.addHost(buffer, offset, length);
    try {
      await withVector(list, namespace, (vector) =>
        namespace.read(0, SIZE / namespace.blockSize, vector),
      );
      const view = new Uint8Array(buffer.buffer);
      const got = pieces.flatMap(([offset, length]) => [...view.subarray(offset, offset + length)]);
      assert.deepEqual(Uint8Array.from(got), bytes);
    } finally {
      buffer.close();
    }
  };

  const DWORDS: Piece[] = [
    [5000, 4],
    [4, 508],
    [1028, 2052],
    [8188, 8],
    [12292, 4096],
    [20000, 1524],
  ];
  const BYTES: Piece[] = [
    [5000, 5],
    [5006, 8187],
  ];

  it("that want dwords are given any dwords, and nothing else", async () => {
    const [namespace] = await open("dword");
    await readInto(namespace!, DWORDS);
    await assert.rejects(readInto(namespace!, BYTES), {
      code: "UNALIGNED",
      message: /take multiples of 4 bytes, not 5 bytes at 0x/,
    });
    await assert.rejects(
      readInto(namespace!, [
        [1, 4096],
        [8192, 4096],
      ]),
      { code: "UNALIGNED" },
    );
  });

  it("that want no alignment are given any bytes", async () => {
    const [namespace] = await open("byte");
    await readInto(namespace!, BYTES);
  });

  it("without SGLs are given PRPs, and what these cannot say is refused", async () => {
    const [source, destination] = await open("none");
    await readInto(source!, [
      [2048, 2048],
      [12288, 6144],
    ]);
    await assert.rejects(readInto(source!, DWORDS), { code: "UNALIGNED" });
    const plan = planOf(source!.controller.address, destination!.controller.address, {
      size: SIZE,
    });
    await runCopy(session, plan);
    assert.deepEqual(await load(session, destination!, 0, SIZE), pattern(SIZE, 3));
  });

  it("without SGLs refuse them where they are asked for, before any command", async () => {
    const [source, destination] = await open("none", "sgl");
    const refused = { code: "UNSUPPORTED", message: /takes no SGLs/ };
    await assert.rejects(readInto(source!, [[0, SIZE]]), refused);
    const addresses = [source!.controller.address, destination!.controller.address] as const;
    await assert.rejects(runCopy(session, planOf(...addresses, { size: SIZE })), refused);
    await runCopy(session, planOf(...addresses, { size: SIZE, descriptors: "prp" }));
  });

  it("with SGLs are given none where that is asked for", async () => {
    const [source, destination] = await open("byte", "prp");
    await readInto(source!, [[0, SIZE]]);
    await assert.rejects(readInto(source!, DWORDS), { code: "UNALIGNED" });
    const addresses = [source!.controller.address, destination!.controller.address] as const;
    await runCopy(session, planOf(...addresses, { size: SIZE, descriptors: "sgl" }));
    assert.deepEqual(await load(session, destination!, 0, SIZE), pattern(SIZE, 3));
    const wrong = planOf(...addresses, { size: SIZE, descriptors: "both" as Descriptors });
    await assert.rejects(runCopy(session, wrong), { code: "BAD_ARGUMENT" });
  });
});
