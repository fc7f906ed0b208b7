import { randomBytes } from "node:crypto";
import assert from "node:assert/strict";
import { FakeMachine, Store } from "../../support/fake-copy.js";
import { besiege } from "../../support/hostile-client.js";

const SIZE = 64 * 1024;

describe("A server of copies, between streams that are none", function () {
  this.timeout(120_000);

  it("lives on whatever clients say at whatever time, and keeps no place or range for them", async () => {
    const theirs = new Store(randomBytes(SIZE));
    const machine = new FakeMachine(new Map(), { "0000:02:00.0/1": theirs });
    await besiege({
      ...{ machine, endpoint: "02:00.0", size: SIZE },
      ...{ maxIodepth: 16, clients: 300 },
    });
    assert.equal(machine.open, 0, "all streams are closed");
  });
});
