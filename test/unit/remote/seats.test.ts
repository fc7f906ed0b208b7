import assert from "node:assert/strict";
import { Seats } from "#lib/remote/seats.js";

const never = (): void => assert.fail("nobody came back");

describe("Places for copies", () => {
  it("are so many, and free again once left", async () => {
    const seats = new Seats(2);
    const leave = await seats.take("a", never);
    await seats.take("b", never);
    await assert.rejects(seats.take("c", never), {
      code: "TOO_MANY_CLIENTS",
      message: /has its 2 clients/,
      hint: /--max-connections/,
    });
    leave();
    await seats.take("c", never);
  });

  it("are taken over by the same copy, though all are taken, when what it had in flight has ended", async () => {
    const seats = new Seats(1);
    const steps: string[] = [];
    const leave = await seats.take("a", () => {
      steps.push("recalled");
      setImmediate(() => {
        steps.push("drained");
        leave();
      });
    });
    await seats.take("a", never);
    assert.deepEqual(steps, ["recalled", "drained"]);
    await assert.rejects(seats.take("b", never), { code: "TOO_MANY_CLIENTS" });
  });

  it("go to the last one, where the same copy comes back twice", async () => {
    const seats = new Seats(1);
    let current = 0;
    const take = async (number: number): Promise<void> => {
      let leave = (): void => undefined;
      leave = await seats.take("a", () =>
        setImmediate(() => {
          leave();
        }),
      );
      current = number;
    };
    await Promise.all([take(1), take(2), take(3)]);
    assert.equal(current, 3);
  });
});
