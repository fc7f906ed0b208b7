import assert from "node:assert/strict";
import { reportSchema } from "#lib/bench/report-schema.js";
import { p2pmem, start, waitUntilBusy, waitUntilPrinted } from "../support/command.js";
import { deviceReport } from "../support/result-schema.js";

/** The lab's devices (scripts/lab.mjs). */
function device(name: "NVME_CMB" | "NVME1" | "NVME2" | "CARD"): string {
  const address = process.env[name];
  assert.ok(address !== undefined, `${name} is set in the lab only`);
  return address;
}

describe("p2pmem on devices that VFIO owns", () => {
  it("lists them, since auto chooses this machine", async () => {
    const { stdout } = await p2pmem("list", "--output-format", "json");
    const { platform, controllers, providers } = deviceReport.parse(JSON.parse(stdout));
    assert.equal(platform, "vfio");
    assert.deepEqual(
      controllers.map(({ address, error }) => [address, error]),
      ["NVME_CMB", "NVME1", "NVME2"].map((name) => [process.env[name], null]),
    );
    const names = providers.map(({ name }) => name);
    for (const name of [`${device("NVME_CMB")}/cmb`, `${device("CARD")}/bar2`])
      assert.ok(names.includes(name), `${name} among ${names.join(", ")}`);
  });

  describe("writes nothing", () => {
    const refusals: [string, RegExp, () => string[]][] = [
      [
        "by copy, unless allowed",
        /--allow-write/,
        () => ["copy", device("NVME1"), device("NVME2")],
      ],
      ["to a namespace that was chosen automatically", /--dst/, () => ["bench", "--allow-write"]],
      [
        "to a source that was not named, for its stamps",
        /--src/,
        () => ["bench", "--dst", device("NVME2"), "--verify=pattern", "--allow-write"],
      ],
    ];
    for (const [title, hint, args] of refusals)
      it(title, async () => {
        const { code, stderr } = await p2pmem(...args());
        assert.equal(code, 1);
        assert.match(stderr, /^p2pmem: WRITE_NOT_ALLOWED: [^\n]+; hint: [^\n]+\n$/);
        assert.match(stderr, hint);
      });
  });

  it("measures, verifies, and derives the traffic from path and route", async () => {
    const { code, stdout, stderr } = await p2pmem(
      ...["bench", "--src", `${device("NVME1")}@0+4m`, "--dst", device("NVME2"), "--allow-write"],
      ...["--provider", device("CARD"), "--bs", "128k", "--iodepth", "8", "--runtime", "0.5"],
      ...["--verify", "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const { platform, results } = reportSchema.parse(JSON.parse(stdout));
    assert.equal(platform, "vfio");
    assert.deepEqual(
      results.map(({ path }) => path),
      ["p2p", "host", "cpu"],
    );
    for (const { path, bytes, traffic, verify, limit_bw_bytes } of results) {
      assert.equal(verify?.mismatches, 0);
      assert.equal(limit_bw_bytes, null, "the limit is the loopback machine's");
      assert.equal(traffic.source, "derived");
      assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : 2 * bytes);
      assert.equal(traffic.host_control_bytes, null, "not known, hence not 0");
      assert.ok(traffic.root_complex_bytes! > 0, "NVME2 has a root port of its own");
    }
  });

  it("drains on Ctrl-C, exits with 130, and leaves devices that work", async () => {
    const { child, done } = start(
      ...["bench", "--src", device("NVME1"), "--dst", device("NVME2"), "--allow-write"],
      ...["--provider", device("CARD"), "--runtime", "600"],
    );
    // Opening the devices is a small part of that.
    await waitUntilPrinted(child);
    await waitUntilBusy(child.pid!, 4);
    child.kill("SIGINT");
    const { code, stderr } = await done;
    assert.equal(code, 130);
    assert.match(stderr, /^p2pmem: INTERRUPTED: [^\n]+\n$/);
    const after = await p2pmem(
      ...["copy", `${device("NVME1")}@0+1m`, device("NVME2"), "--provider", device("CARD")],
      ...["--allow-write", "--verify"],
    );
    assert.equal(after.code, 0, after.stderr);
  });
});
