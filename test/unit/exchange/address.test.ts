import assert from "node:assert/strict";
import { formatGid, parseGid, queuePairAddress, regionAddress } from "#lib/exchange/address.js";

describe("Addresses of queue pairs and memory, as peers tell them", () => {
  const gid = Uint8Array.from({ length: 16 }, (_, index) => 16 * index + 1);
  const queuePair = { number: 17, psn: 0xffffff, lid: 0, gid: formatGid(gid), mtu: 1024 };
  const region = { address: "18446744073709551615", rkey: 2 ** 32 - 1, bytes: 1 };

  it("come back as they were", () => {
    assert.deepEqual(queuePairAddress.parse(queuePair), queuePair);
    assert.deepEqual(parseGid(queuePair.gid), gid);
    assert.deepEqual(regionAddress.parse(region), region);
  });

  it("are refused where a NIC could not have them", () => {
    for (const wrong of [
      { number: 2 ** 24 },
      { number: -1 },
      { psn: 0.5 },
      { lid: 65536 },
      { gid: "00" },
      { gid: "zz".repeat(16) },
      { mtu: 1500 },
      { mtu: "1024" },
    ])
      assert.ok(!queuePairAddress.safeParse({ ...queuePair, ...wrong }).success);
    for (const wrong of [
      { address: "18446744073709551616" },
      { address: "-1" },
      { address: "0x10" },
      { address: "" },
      { address: "x" },
      { address: 4096 },
      { rkey: 2 ** 32 },
      { bytes: 0 },
      { bytes: Number.MAX_SAFE_INTEGER + 1 },
    ])
      assert.ok(!regionAddress.safeParse({ ...region, ...wrong }).success);
  });
});
