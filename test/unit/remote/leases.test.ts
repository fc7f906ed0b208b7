import assert from "node:assert/strict";
import { Leases, type Range } from "#lib/remote/leases.js";

const range = (rest: Partial<Range> = {}): Range => ({
  ...{ volume: "NGUID 1", name: "0000:03:00.0/1", start: 0, end: 100, isWriter: false },
  ...rest,
});

describe("Ranges that copies use", () => {
  it("have one writer or many readers", () => {
    const leases = new Leases();
    const first = leases.acquire(range());
    const second = leases.acquire(range({ start: 50, end: 150 }));
    assert.throws(() => leases.acquire(range({ isWriter: true })), {
      code: "IN_USE",
      message: /reads/,
    });
    leases.acquire(range({ isWriter: true, start: 150, end: 160 }));
    leases.acquire(range({ isWriter: true, volume: "NGUID 2" }));
    first.release();
    second.release();
    leases.acquire(range({ isWriter: true }));
    assert.throws(() => leases.acquire(range({ start: 99 })), {
      code: "IN_USE",
      message: /writes/,
    });
  });

  it("are the same by whatever path a namespace is reached", () => {
    const leases = new Leases();
    leases.acquire(range({ isWriter: true }));
    assert.throws(() => leases.acquire(range({ name: "0000:04:00.0/1" })), { code: "IN_USE" });
  });

  it("stay with a copy that could not be ended", () => {
    const leases = new Leases();
    leases.acquire(range({ isWriter: true })).abandon();
    assert.throws(() => leases.acquire(range({ isWriter: true })), {
      code: "IN_USE",
      message: /may still write/,
      hint: /anew/,
    });
  });
});
