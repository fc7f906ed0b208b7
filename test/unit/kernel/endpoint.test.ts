import assert from "node:assert/strict";
import { join } from "node:path";
import {
  formatKernelEndpoint,
  isKernelEndpoint,
  parseKernelEndpoint,
} from "#lib/kernel/endpoint.js";
import { P2pError } from "#lib/errors.js";

describe("endpoints of the kernel's driver", () => {
  it("are block devices and files, all or in part", () => {
    assert.deepEqual(parseKernelEndpoint("/dev/nvme0n1"), { file: "/dev/nvme0n1", offset: 0 });
    assert.deepEqual(parseKernelEndpoint("/dev/nvme0n1@1m+64k"), {
      ...{ file: "/dev/nvme0n1", offset: 2 ** 20, length: 65536 },
    });
    assert.deepEqual(parseKernelEndpoint("file:/srv/data@4k"), { file: "/srv/data", offset: 4096 });
    assert.deepEqual(parseKernelEndpoint("file:data"), {
      ...{ file: join(process.cwd(), "data"), offset: 0 },
    });
  });

  it("are formatted as they are parsed", () => {
    for (const text of [
      ...["/dev/nvme0n1", "/dev/disk/by-id/nvme-x@1m", "/dev/nvme0n1p2@0+64k"],
      ...["file:/srv/with space@1k+3", "file:/srv/a+b"],
    ])
      assert.equal(formatKernelEndpoint(parseKernelEndpoint(text)), text);
  });

  it("are told from namespaces that p2pmem drives", () => {
    const texts = ["/dev/nvme0n1", "file:x", " /dev/x", "0000:03:00.0/1@4k", "03:00.0", "nvme0"];
    assert.deepEqual(texts.map(isKernelEndpoint), [true, true, true, false, false, false]);
  });

  it("are refused where they are none, in one line with the form", () => {
    for (const text of [
      "",
      "file:",
      "/dev/",
      "/srv/data",
      "/dev/nvme0n1@",
      "/dev/x@1+",
      "/dev/x@1@2",
    ])
      assert.throws(
        () => parseKernelEndpoint(text),
        (error) =>
          error instanceof P2pError && error.isUsage && /file:PATH/.test(error.hint ?? "none"),
        text,
      );
    assert.throws(() => parseKernelEndpoint("/dev/nvme0n1@1x"), { code: "BAD_SIZE" });
  });
});
