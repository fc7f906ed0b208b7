import assert from "node:assert/strict";
import { parseBdf } from "#lib/pci/bdf.js";
import { formatAnyEndpoint, isRemote, parseAnyEndpoint } from "#lib/io/endpoint.js";
import { P2pError } from "#lib/errors.js";
import { exportsByName, parseExport } from "#lib/remote/exports.js";

describe("Endpoints of other machines", () => {
  it("are a host, a port unless it is the usual one, and what is served there", () => {
    assert.deepEqual(parseAnyEndpoint("rdma://server/scratch"), {
      host: "server",
      port: 18516,
      namespace: "scratch",
      offset: 0,
    });
    assert.deepEqual(parseAnyEndpoint("rdma://10.0.0.2:4000/03:00.0@1m+64k"), {
      host: "10.0.0.2",
      port: 4000,
      namespace: "0000:03:00.0/1",
      offset: 1 << 20,
      length: 1 << 16,
    });
    assert.equal((parseAnyEndpoint("rdma://[fe80::1]/a") as { host: string }).host, "fe80::1");
  });

  it("are told from those of this machine, which are as before", () => {
    assert.ok(isRemote(parseAnyEndpoint("rdma://a/b")));
    assert.deepEqual(parseAnyEndpoint("03:00.0/2@4k"), {
      device: parseBdf("0000:03:00.0"),
      nsid: 2,
      offset: 4096,
    });
  });

  it("are written so that they are read as the same", () => {
    for (const text of [
      "rdma://server:18516/scratch",
      "rdma://[::1]:1/0000:03:00.0/7@1m+64k",
      "rdma://h:65535/a_b.c-d@4k",
      "0000:03:00.0/1@0+1m",
    ])
      assert.equal(formatAnyEndpoint(parseAnyEndpoint(text)), text);
  });

  for (const text of [
    "rdma://",
    "rdma://server",
    "rdma://server/",
    "rdma:///scratch",
    "rdma://server:0/a",
    "rdma://server:65536/a",
    "rdma://server:x/a",
    "rdma://user@server/a",
    "rdma://[::1/a",
    "rdma://server/a b",
    "rdma://server/-a",
    "rdma://server/03:00.0/0",
    "rdma://server/a@",
    "rdma://server/a@x",
    "rdma://server/a@1m+",
    "RDMA://server/a",
    "http://server/a",
  ])
    it(`are not ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseAnyEndpoint(text),
        (error) => error instanceof P2pError && error.isUsage,
      );
    });
});

describe("Exports", () => {
  it("have the name that they are given, or that of their namespace", () => {
    const endpoint = { device: parseBdf("0000:03:00.0"), nsid: 2, offset: 4096, length: 8192 };
    assert.deepEqual(parseExport("scratch=03:00.0/2@4k+8k"), { name: "scratch", endpoint });
    assert.deepEqual(parseExport("03:00.0/2@4k+8k"), { name: "0000:03:00.0/2", endpoint });
  });

  it("have no name that could be another's address, or two of one name", () => {
    for (const text of ["03:00.0=04:00.0", "=04:00.0", "a b=04:00.0", "a=", ""])
      assert.throws(() => parseExport(text), { code: "BAD_ENDPOINT" });
    const both = ["03:00.0@0+1m", "03:00.0@1m+1m"].map(parseExport);
    assert.throws(() => exportsByName(both), { code: "BAD_ARGUMENT", hint: /names/ });
    assert.equal(exportsByName(["a=03:00.0@0+1m", "03:00.0"].map(parseExport)).size, 2);
  });
});
