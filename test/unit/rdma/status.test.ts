import assert from "node:assert/strict";
import { P2pError, RdmaError } from "#lib/errors.js";
import { decodeEvent } from "#lib/rdma/events.js";
import { STATUS_FLUSHED, statusError, statusName } from "#lib/rdma/status.js";

describe("Statuses of completions", () => {
  it("have a name each, and numbers that nobody knows one, too", () => {
    const names = Array.from({ length: 22 }, (_, status) => statusName(status));
    assert.equal(new Set(names).size, 22);
    assert.ok(
      names.every((name) => !name.startsWith("unknown")),
      names.join(),
    );
    assert.equal(statusName(STATUS_FLUSHED), "Work Request Flushed");
    assert.equal(statusName(99), "unknown status 99");
  });

  it("are errors that say what failed, on which device, and what to do", () => {
    const error = statusError(10, "a write of 4096 bytes", "rxe0", 0x88);
    assert.ok(error instanceof P2pError && error instanceof RdmaError);
    assert.deepEqual(
      [error.code, error.name, error.status, error.vendorError, error.device],
      ["RDMA_STATUS", "RdmaError", 10, 0x88, "rxe0"],
    );
    assert.equal(
      error.message,
      "a write of 4096 bytes failed: Remote Access Error (vendor error 0x88)",
    );
    assert.match(error.hint ?? "", /key/);
  });

  it("say no more than is known", () => {
    const error = statusError(7, "a send", "rxe0");
    assert.equal(error.message, "a send failed: Bad Response");
    assert.equal(error.hint, undefined);
  });
});

describe("Asynchronous events", () => {
  it("have names", () => {
    assert.deepEqual(decodeEvent(3, 17, 0), {
      ...{ type: 3, name: "QP access error", queuePair: 17, port: 0 },
    });
    assert.equal(decodeEvent(10, 0, 1).name, "port error");
    assert.equal(decodeEvent(77, 0, 0).name, "event 77");
  });
});
