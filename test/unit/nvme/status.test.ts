import assert from "node:assert/strict";
import { NvmeError } from "#lib/errors.js";
import { decodeStatus, isCompareFailure, statusError, statusName } from "#lib/nvme/status.js";
import { parseBdf } from "#lib/pci/bdf.js";

describe("Status codes", () => {
  it("without a name are shown as numbers", () => {
    assert.equal(statusName(0x07f), "unknown status (type 0, code 0x7f)");
    assert.equal(statusName(0x0c0), "vendor specific status (type 0, code 0xc0)");
    assert.equal(statusName(0x480), "unknown status (type 4, code 0x80)");
    assert.equal(statusName(0x7c1), "vendor specific status (type 7, code 0xc1)");
  });

  it("split into type, code, retry delay, more and do-not-retry", () => {
    const none = {
      statusCodeType: 0,
      statusCode: 0,
      retryDelay: 0,
      more: false,
      doNotRetry: false,
    };
    const cases: [number, Partial<typeof none>][] = [
      [0x4281, { statusCodeType: 2, statusCode: 0x81, doNotRetry: true }],
      [0x0080, { statusCode: 0x80 }],
      [0x2000, { more: true }],
      [0x0800, { retryDelay: 1 }],
      [0x1821, { statusCode: 0x21, retryDelay: 3 }],
      [0x07ff, { statusCodeType: 7, statusCode: 0xff }],
    ];
    for (const [status, parts] of cases)
      assert.deepEqual(decodeStatus(status), { ...none, ...parts });
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
    assert.deepEqual([error.retryDelay, error.more, error.hint], [0, false, undefined]);
  });

  it("say what to do where that is known, else whether a retry may help", () => {
    const hint = (status: number): string | undefined =>
      statusError(status, "Write", parseBdf("03:00.0")).hint;
    assert.match(hint(0x4020) ?? "", /write-protect|protection/);
    assert.match(hint(0x2083) ?? "", /reserved/);
    assert.match(hint(0x0006) ?? "", /retry/);
    assert.equal(hint(0x4006), undefined);
  });
});
