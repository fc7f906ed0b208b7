import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MIB = 2 ** 20;
const IMAGE_BYTES = 256 * MIB;
const root = fileURLToPath(new URL("../../", import.meta.url));

/** Copies between the lab's namespaces, each to a place of its own; offsets and sizes in MiB. */
const COPIES = [
  { title: "through the CMB", via: "p2p", provider: "$NVME_CMB/cmb", from: 0, to: 0, size: 1 },
  { title: "through the PMR", via: "p2p", provider: "$NVME2/pmr", from: 1, to: 8, size: 16 },
  { title: "through the card", via: "p2p", provider: "$CARD/bar2", from: 3, to: 32, size: 16 },
  { title: "by the CPU", via: "cpu", provider: "$CARD/bar2", from: 5, to: 64, size: 4 },
  { title: "through host memory", via: "host", provider: "", from: 7, to: 96, size: 16 },
];

/**
 * What p2pmem itself cannot be wrong about: the namespaces are files on the host, whose hashes are
 * taken there, after the virtual server is gone.
 */
describe("the lab's namespaces, looked at from outside", () => {
  let directory: string;

  function hash(image: string, offset: number, length: number): string {
    const bytes = Buffer.alloc(length);
    const fd = openSync(join(directory, image), "r");
    assert.equal(readSync(fd, bytes, 0, length, offset), length);
    closeSync(fd);
    return createHash("sha256").update(bytes).digest("hex");
  }

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-images-"));
    const fd = openSync(join(directory, "nvme1.img"), "w");
    ftruncateSync(fd, IMAGE_BYTES);
    writeSync(fd, randomBytes(32 * MIB), 0, 32 * MIB, 0);
    closeSync(fd);
    const commands = COPIES.map(
      ({ via, provider, from, to, size }) =>
        `node dist/cli/main.js copy "$NVME1/1@${from}m" "$NVME2/1@${to}m" --via ${via} ` +
        `--size ${size}m --allow-write ${provider === "" ? "" : `--provider "${provider}"`}`,
    );
    const lab = spawnSync(
      process.execPath,
      ["scripts/lab.mjs", "--dir", directory, "--timeout", "500", "sh", "-ec", commands.join("\n")],
      { cwd: root, encoding: "utf8" },
    );
    assert.equal(lab.status, 0, lab.stdout + lab.stderr);
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  for (const { title, from, to, size } of COPIES)
    it(`hold the same after a copy ${title}`, () => {
      const source = hash("nvme1.img", from * MIB, size * MIB);
      assert.equal(hash("nvme2.img", to * MIB, size * MIB), source);
    });

  it("hold nothing where nothing was copied to", () => {
    const zeros = createHash("sha256").update(Buffer.alloc(MIB)).digest("hex");
    for (const { to, size } of COPIES)
      assert.equal(hash("nvme2.img", (to + size) * MIB, MIB), zeros);
  });
});
