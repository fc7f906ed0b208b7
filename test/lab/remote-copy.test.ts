import assert from "node:assert/strict";
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
import { assertPassed, runInLab, testsIn } from "../support/lab.js";
import {
  IMAGE_BYTES,
  KILLS,
  LIMIT_SECONDS,
  MAIN,
  PULLED,
  windowOf,
} from "../support/remote-copy-places.js";

const PIECE = 8 << 20;

/** Of what p2pmem copied over RDMA, the hashes are taken here, of files, after the server is gone. */
describe("copies over soft-RoCE in a virtual server, looked at from outside", () => {
  let directory: string;

  function hash(image: string, offset: number, size: number): string {
    const sum = createHash("sha256");
    const piece = Buffer.alloc(Math.min(PIECE, size));
    const fd = openSync(join(directory, image), "r");
    for (let at = 0; at < size; at += piece.length) {
      assert.equal(readSync(fd, piece, 0, piece.length, offset + at), piece.length);
      sum.update(piece);
    }
    closeSync(fd);
    return sum.digest("hex");
  }

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-remote-"));
    for (const image of ["nvme1.img", "nvme2.img"]) {
      const fd = openSync(join(directory, image), "w");
      ftruncateSync(fd, IMAGE_BYTES);
      // No block is like another one: those that are lost, or mixed up, show.
      if (image === "nvme1.img")
        for (let at = 0; at < MAIN.size; at += PIECE)
          writeSync(fd, randomBytes(PIECE), 0, PIECE, at);
      closeSync(fd);
    }
  });
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it("succeed, whichever side is killed, and fail where they must (test/guest/remote-copy.ts)", () => {
    const tests = testsIn("dist-test/guest/remote-copy.js");
    const run = runInLab("default", `sh scripts/lab/soft-roce && ${tests}`, {
      images: directory,
      seconds: LIMIT_SECONDS,
    });
    assertPassed(run);
    assert.equal(run.status, 0, run.stdout + run.stderr);
  }).timeout(1000 * (LIMIT_SECONDS + 100));

  it("left the same bytes", () => {
    const places = [MAIN, ...Array.from({ length: KILLS + 1 }, (_, round) => windowOf(round))];
    for (const { from, to, size } of places)
      assert.equal(hash("nvme2.img", to, size), hash("nvme1.img", from, size), `at ${to}`);
    const { from, to, size } = PULLED;
    assert.equal(hash("nvme1.img", to, size), hash("nvme2.img", from, size));
  });
});
