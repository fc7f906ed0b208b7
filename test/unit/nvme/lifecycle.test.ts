import assert from "node:assert/strict";
import { Lifecycle } from "#lib/nvme/lifecycle.js";
import { Capabilities } from "#lib/nvme/registers.js";
import { CC, CSTS, Register } from "#lib/nvme/spec.js";
import { FakeBar } from "./fake-bar.js";

/** CAP.TO 1: 500 ms. */
const CAPABILITIES = new Capabilities(0x0100_07ff, 1 << 5);

describe("Disabling a controller", () => {
  let bar: FakeBar;
  let reads: number;

  /** It was enabled, is not ready, and `then` is what CSTS says from the third look on. */
  function starting(then: number): Lifecycle {
    bar = new FakeBar();
    reads = 0;
    bar.values.set(Register.CC, CC.EN);
    bar.onRead = (offset) => {
      if (offset === Register.CSTS && ++reads === 3) bar.values.set(Register.CSTS, then);
    };
    bar.onWrite = (offset, value) => {
      if (offset === Register.CC && (value & CC.EN) === 0) bar.values.set(Register.CSTS, 0);
    };
    return new Lifecycle(bar.registers, CAPABILITIES);
  }

  it("waits until an enable that is under way has come to its end", async () => {
    await starting(CSTS.RDY).disable();
    assert.ok(reads >= 3);
    assert.equal(bar.values.get(Register.CC), 0);
  });

  it("goes on where that enable fails", async () => {
    await starting(CSTS.CFS).disable();
    assert.equal(bar.values.get(Register.CC), 0);
  });

  it("leaves alone what does not come to its end", async () => {
    await assert.rejects(starting(0).disable(), { code: "NOT_READY" });
    assert.equal(bar.values.get(Register.CC), CC.EN);
  });
});

/** NVMe 1.4 §3.1.6, SHST: shutdown under way, and complete. */
const [UNDER_WAY, COMPLETE] = [1 << 2, 2 << 2];

describe("The shutdown of a controller", () => {
  it("is asked for, and waited for until it is complete", async () => {
    const bar = new FakeBar();
    bar.values.set(Register.CC, CC.EN);
    let looks = 0;
    bar.onRead = (offset) => {
      if (offset === Register.CSTS)
        bar.values.set(Register.CSTS, ++looks < 10 ? UNDER_WAY : COMPLETE);
    };
    await new Lifecycle(bar.registers, CAPABILITIES).shutDown(0);
    assert.equal(bar.values.get(Register.CC), CC.EN | (1 << 14));
    assert.equal(looks, 10);
  });
});
