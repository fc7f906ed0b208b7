import assert from "node:assert/strict";
import { p2pmem } from "../support/command.js";
import { deviceReport } from "../support/result-schema.js";

describe("p2pmem list", () => {
  it("describes the loopback machine's controllers and providers as JSON", async () => {
    const { code, stdout, stderr } = await p2pmem(
      ...["list", "--platform", "loopback", "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const report = deviceReport.parse(JSON.parse(stdout));
    assert.equal(report.platform, "loopback");
    assert.equal(report.controllers.length, 3);
    for (const { error, namespaces, model, serial, mdts_bytes } of report.controllers) {
      assert.equal(error, null);
      assert.ok(namespaces.length > 0);
      assert.ok(model !== null && serial !== null && mdts_bytes !== null);
    }
    const sizes = report.providers.map(({ bytes }) => bytes).sort((a, b) => a - b);
    assert.deepEqual(sizes, [64 << 20, 256 << 20], "a CMB and a card");
    assert.match(report.providers.map(({ name }) => name).join(), /\/cmb/);
  });

  it("says of a CMB and a PMR what they hold, and which keeps it, in every format", async () => {
    const list = (...args: string[]) =>
      p2pmem("list", "--platform", "loopback", "--machine", "test/device/machine.yaml", ...args);
    const { stdout } = await list("--output-format", "json");
    const { providers } = deviceReport.parse(JSON.parse(stdout));
    assert.deepEqual(
      providers.map(({ name, abilities, persistent }) => [
        name.split("/")[1],
        abilities?.join(" ") ?? null,
        persistent,
      ]),
      [
        ["cmb", "SQS CQS LISTS RDS WDS", false],
        ["bar2", null, false],
        ["pmr", "RDS WDS", true],
      ],
    );
    const table = (await list()).stdout;
    assert.match(table, /\/cmb +64 MiB +SQS CQS LISTS RDS WDS +-\n/);
    assert.match(table, /\/bar2 +256 MiB +data +-\n/);
    assert.match(table, /\/pmr +64 MiB +RDS WDS +persistent\n/);
    const csv = (await list("--output-format", "csv")).stdout;
    assert.match(csv, /,error,abilities,persistent\r\n/);
    assert.match(csv, /\/pmr,67108864,,,,,,,,,RDS WDS,true\r\n/);
  });

  it("shows the memory of a NIC that its own driver has, and no BAR of it", async () => {
    const { stdout } = await p2pmem("list", "--machine", "rdma");
    assert.match(stdout, /0000:06:00\.0\/dm +64 MiB +data +-\n/);
    assert.doesNotMatch(stdout, /0000:06:00\.0\/bar/);
  });

  it("says first which machine it shows and why, then fits a terminal", async () => {
    const { code, stdout } = await p2pmem("list");
    assert.equal(code, 0);
    assert.match(stdout, /^[^\n]*(loopback|VFIO)[^\n]*since[^\n]*\n\nNVMe controllers\n/);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  });

  it("has as many CSV rows as there are namespaces and providers", async () => {
    const args = ["list", "--platform", "loopback", "--output-format"];
    const report = deviceReport.parse(JSON.parse((await p2pmem(...args, "json")).stdout));
    const { stdout } = await p2pmem(...args, "csv");
    const namespaces = report.controllers.flatMap((controller) => controller.namespaces);
    const lines = stdout.trimEnd().split("\r\n");
    assert.equal(lines.length, 1 + namespaces.length + report.providers.length);
  });

  it("shows the same machine with redirecting switch ports as another machine", async () => {
    const args = ["list", "--output-format", "json", "--machine"];
    const [plain, acs] = await Promise.all([p2pmem(...args, "default"), p2pmem(...args, "acs")]);
    const groups = ({ stdout }: { stdout: string }): Set<number | null> =>
      new Set(
        deviceReport.parse(JSON.parse(stdout)).controllers.map(({ iommu_group: group }) => group),
      );
    assert.equal(groups(acs).size, 3, "with ACS each device is a group of its own");
    assert.equal(groups(plain).size, 2, "without, those below the switch are one");
  });
});
