import assert from "node:assert/strict";
import { MessageData } from "#lib/rdma-perf/data.js";
import { layoutOf } from "#lib/rdma-perf/layout.js";
import { placeBytes, placesOf } from "#lib/rdma-perf/loops/places.js";
import { defaultsOf, type Measure, type RdmaTest, type Verb } from "#lib/rdma-perf/plan.js";

const SEED = 0xdead_beef;

/** Both sides of a test, and what moves their data. */
class Pair {
  readonly #plan: RdmaTest;
  readonly #buffers: readonly [ArrayBuffer, ArrayBuffer];
  readonly client: MessageData;
  readonly server: MessageData;

  constructor(verb: Verb, measure: Measure, size: number, isServerFilled = true) {
    this.#plan = { ...defaultsOf(verb, measure), sizes: [size], queuePairs: 2 };
    const layout = layoutOf(this.#plan);
    this.#buffers = [new ArrayBuffer(layout.bytes), new ArrayBuffer(layout.bytes)];
    const shared = { plan: this.#plan, layout, seed: SEED };
    const [own, other] = this.#buffers;
    const server = isServerFilled ? other : null;
    this.client = new MessageData({
      ...{ ...shared, role: "client", buffer: own, isOtherFilled: isServerFilled },
    });
    this.server = new MessageData({
      ...{ ...shared, role: "server", buffer: server, isOtherFilled: true },
    });
    for (const side of [this.client, this.server]) side.prepare(0, size);
  }

  /** So many messages of each lane arrive at the server: whole, but `without` the last byte of one. */
  arrive(messages: number, without = -1): void {
    const { queuePairs, sizes } = this.#plan;
    const layout = layoutOf(this.#plan);
    const size = sizes[0]!;
    const [from, to] = this.#buffers.map((buffer) => new Uint8Array(buffer));
    for (let lane = 0; lane < queuePairs; lane++)
      for (let number = 0; number < messages; number++) {
        const at = (number % placesOf(size)) * placeBytes(size);
        const length = number === without ? size - 1 : size;
        const begin = layout.sendOffset(lane) + at;
        to!.set(from!.subarray(begin, begin + length), layout.receiveOffset(lane) + at);
      }
  }
}

describe("the data of RDMA tests", () => {
  it("is compared wherever messages went", () => {
    for (const size of [1, 2, 3, 7, 63, 64, 65, 1000, 2048, 2049, 65536]) {
      const pair = new Pair("write", "bw", size);
      pair.arrive(100);
      assert.equal(pair.server.verify(0, size, 100), true);
      assert.equal(pair.client.verify(0, size, 100), null, "nothing came there");
    }
  });

  it("is wrong at the last place where one byte did not come, and says where", () => {
    const pair = new Pair("send", "bw", 64);
    pair.arrive(64, 63);
    assert.throws(() => pair.server.verify(0, 64, 64), {
      ...{ code: "WRONG_DATA", message: /byte 4095 of the memory of queue pair 1 / },
    });
  });

  it("is not asked for where no message went", () => {
    const pair = new Pair("write", "bw", 64);
    pair.arrive(5);
    assert.equal(pair.server.verify(0, 64, 5), true);
    assert.throws(() => pair.server.verify(0, 64, 6), { code: "WRONG_DATA", message: /byte 320 / });
  });

  it("is not said to be right where there is nothing to compare", () => {
    const single = new Pair("write", "lat", 1);
    single.arrive(1);
    // The only byte counts messages.
    assert.equal(single.server.verify(0, 1, 1), null);
    const blind = new Pair("read", "bw", 64, false);
    assert.equal(blind.client.verify(0, 64, 1), null);
    assert.equal(blind.server.verify(0, 64, 1), null);
    assert.equal(new Pair("write", "bw", 64).server.verify(0, 64, 0), null);
  });
});
