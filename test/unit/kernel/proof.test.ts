/** Canaries with ordinary memory in the peer's place, and a file in the device's. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addon, type NativeMemory } from "#lib/addon.js";
import { proveKernelPath } from "#lib/kernel/proof.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { rawTopology } from "../../support/topology.js";
import { fixture } from "../../support/topology-fixtures.js";

const SIZE = 16 * 1024;

describe("the proof of the kernel's path", () => {
  const tree = new PciTree(rawTopology(fixture("desktop")));
  const provider = parseBdf("01:00.0");
  const folder = mkdtempSync(join(tmpdir(), "p2pmem-proof-"));
  const file = join(folder, "disk");
  let peer: NativeMemory;
  let content: Buffer;
  let fd: number;

  beforeEach(() => {
    content = randomBytes(2 * SIZE);
    writeFileSync(file, content);
    fd = openSync(file, "r+");
    peer = addon().allocatePinned(2 * SIZE, false);
  });
  afterEach(() => {
    peer.close();
    closeSync(fd);
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  const prove = (rest: Partial<Parameters<typeof proveKernelPath>[3]>, open = fd): void => {
    proveKernelPath(tree, provider, peer, {
      target: {
        ...{ endpoint: { file, offset: 0 }, fd: open, size: 2 * SIZE, blockSize: 512 },
        ...{ isDisk: false, identity: "", place: null, disks: new Set<string>(), clients: [] },
        ...{ notes: [], close: () => undefined },
      },
      ...{ offset: 0, length: SIZE, isRead: true, isWritten: false, ...rest },
    });
  };

  it("leaves what it writes over as it was", () => {
    prove({ isWritten: true });
    assert.ok(readFileSync(file).equals(content));
  });

  it("blames the I/O, not the pair, for what is no refusal of the pair", () => {
    const directory = openSync(folder, "r");
    try {
      const rest = { isRead: true };
      assert.throws(
        () => {
          prove(rest, directory);
        },
        { code: "IO", syscall: "read", message: /^read of \S+disk at byte 0 failed: EISDIR$/ },
      );
    } finally {
      closeSync(directory);
    }
  });

  it("says of what ends early how much came", () => {
    assert.throws(
      () => {
        prove({ offset: SIZE + 4096 });
      },
      { code: "IO", message: /^a read of \S+disk at byte 20480 moved 12288 of 16384 bytes$/ },
    );
  });

  it("says where what was there could not be put back", () => {
    const readOnly = openSync(file, "r");
    try {
      assert.throws(
        () => {
          prove({ isWritten: true }, readOnly);
        },
        { code: "NOT_RESTORED", message: /^16384 bytes of \S+disk at byte 0 may not hold/ },
      );
    } finally {
      closeSync(readOnly);
    }
  });
});
