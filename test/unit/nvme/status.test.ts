import assert from "node:assert/strict";
import { NvmeError } from "#lib/errors.js";
import { decodeStatus, isCompareFailure, statusError, statusName } from "#lib/nvme/status.js";
import { parseBdf } from "#lib/pci/bdf.js";

describe("Status codes", () => {
  it("have the names of the specification", () => {
    const cases: [number, string][] = [
      [0x000, "Successful Completion"],
      [0x080, "LBA Out of Range"],
      [0x013, "PRP Offset Invalid"],
      [0x101, "Invalid Queue Identifier"],
      [0x285, "Compare Failure"],
      [0x4004, "Data Transfer Error"],
      [0x2080, "LBA Out of Range"], // More bit
    ];
    for (const [status, name] of cases) assert.equal(statusName(status), name);
  });

  it("without a name are shown as numbers", () => {
    assert.equal(statusName(0x07f), "unknown status (type 0, code 0x7f)");
    assert.equal(statusName(0x7c1), "vendor specific status (type 7, code 0xc1)");
  });

  it("split into type, code and do-not-retry", () => {
    assert.deepEqual(decodeStatus(0x4281), {
      statusCodeType: 2,
      statusCode: 0x81,
      doNotRetry: true,
    });
    assert.deepEqual(decodeStatus(0x0080), {
      statusCodeType: 0,
      statusCode: 0x80,
      doNotRetry: false,
    });
  });

  it("tell blocks that differ from a Compare that failed", () => {
    const failed = (status: number): boolean =>
      isCompareFailure(statusError(status, "Compare", parseBdf("03:00.0")));
    assert.ok(failed(0x285));
    assert.ok(failed(0x4285), "with Do Not Retry");
    assert.ok(!failed(0x085), "of another type");
    assert.ok(!failed(0x281), "an unrecovered read error");
    assert.ok(!isCompareFailure(new Error("Compare Failure")));
  });

  it("become an NvmeError that says what failed and where", () => {
    const error = statusError(0x4281, "Read of blocks 0 to 7 of namespace 1", parseBdf("03:00.0"));
    assert.ok(error instanceof NvmeError);
    assert.equal(error.code, "NVME_STATUS");
    assert.equal(
      error.message,
      "Read of blocks 0 to 7 of namespace 1 failed: Unrecovered Read Error",
    );
    assert.deepEqual([error.statusCodeType, error.statusCode, error.doNotRetry], [2, 0x81, true]);
    assert.equal(error.device, "0000:03:00.0");
    assert.equal(error.hint, undefined);
  });
});
