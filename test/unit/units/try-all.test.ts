import assert from "node:assert/strict";
import { tryAll, tryAllInTurn } from "#lib/try-all.js";

describe("Steps that are all tried", () => {
  const first = new Error("first");
  let taken: string[];

  beforeEach(() => {
    taken = [];
  });

  const step = (name: string, error?: Error) => (): void => {
    taken.push(name);
    if (error) throw error;
  };
  const steps = () => [step("a"), step("b", first), step("c", new Error("second")), step("d")];

  it("are taken in order, after failures too, of which the first is thrown", () => {
    assert.throws(() => {
      tryAll(steps());
    }, first);
    assert.deepEqual(taken, ["a", "b", "c", "d"]);
    tryAll([step("e")]);
  });

  it("are the same where each is awaited before the next", async () => {
    const slow = steps().map((take) => async () => {
      taken.push("(");
      await new Promise(setImmediate);
      take();
    });
    await assert.rejects(tryAllInTurn(slow), first);
    assert.equal(taken.join(""), "(a(b(c(d");
    await tryAllInTurn([step("e")]);
  });
});
