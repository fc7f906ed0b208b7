import assert from "node:assert/strict";
import { Leases, type LeaseRequest } from "#lib/remote/leases.js";

const request = (rest: Partial<LeaseRequest>): LeaseRequest => ({
  client: "a",
  namespace: "0000:03:00.0/1",
  start: 0,
  end: 100,
  isWriter: false,
  onRecall: () => undefined,
  ...rest,
});

describe("Ranges that copies use", () => {
  it("have one writer or many readers", async () => {
    const leases = new Leases();
    const first = await leases.acquire(request({}));
    const second = await leases.acquire(request({ client: "b", start: 50, end: 150 }));
    await assert.rejects(leases.acquire(request({ client: "c", isWriter: true })), {
      code: "IN_USE",
      message: /reads/,
    });
    await leases.acquire(request({ client: "d", isWriter: true, start: 150, end: 160 }));
    await leases.acquire(request({ client: "e", isWriter: true, namespace: "0000:04:00.0/1" }));
    first.release();
    second.release();
    await leases.acquire(request({ client: "c", isWriter: true }));
    await assert.rejects(leases.acquire(request({ client: "f", start: 99 })), {
      code: "IN_USE",
      message: /writes/,
    });
  });

  it("are taken back from the same copy's older connection, and waited for", async () => {
    const leases = new Leases();
    const steps: string[] = [];
    const old = await leases.acquire(
      request({
        isWriter: true,
        onRecall: () => {
          steps.push("recalled");
          setImmediate(() => {
            steps.push("drained");
            old.release();
          });
        },
      }),
    );
    const lease = await leases.acquire(request({ isWriter: true }));
    assert.deepEqual(steps, ["recalled", "drained"]);
    // The older one's is not this one's.
    old.release();
    await assert.rejects(leases.acquire(request({ client: "b", isWriter: true })), {
      code: "IN_USE",
    });
    lease.release();
    await leases.acquire(request({ client: "b", isWriter: true }));
  });
});
