import assert from "node:assert/strict";
import { withKernelDevices } from "#lib/bench/measure/kernel-machine.js";
import type { BenchPoint } from "#lib/bench/point.js";
import type { MachineReport } from "#lib/bench/report.js";
import { FakeHost } from "../../../support/fake-host.js";
import { benchPoint } from "../../../support/bench-point.js";

const ADDRESS = "0000:03:00.0";

describe("the machine of the kernel's paths", () => {
  const machine: MachineReport = {
    ...{ hostname: "lab", kernel: "7.1.0", node: "20.19.0", memory_bytes: 1, iommu: null },
    ...{ cpu: { model: "some", cores: 2, governor: null }, devices: [], paths: [], drivers: [] },
  };
  let host: FakeHost;

  before(() => {
    host = new FakeHost();
    const path = host.pciFunction({ address: ADDRESS, driver: "nvme" });
    const controller = `${path}/nvme/nvme0`;
    host.kernelDevice(controller, "nvme", { model: "Some Disk  \n", firmware_rev: "1.0\n" });
    host.disk(`${controller}/nvme0n1`, "259:0");
  });
  after(() => {
    host.destroy();
  });

  const point = (rest: Partial<BenchPoint>): BenchPoint =>
    benchPoint({ path: "kernel-p2p", rw: "read", sources: [], destination: null, ...rest });

  it("is what it was where there are none", () => {
    assert.equal(withKernelDevices(machine, [point({ path: "p2p" })], host), machine);
  });

  it("has the provider's device, with its model, its firmware and its driver", () => {
    const { devices } = withKernelDevices(machine, [point({ provider: `${ADDRESS}/cmb` })], host);
    assert.equal(devices.length, 1);
    const { address, role, name, driver } = devices[0]!;
    assert.deepEqual(
      [address, role, name, driver],
      [ADDRESS, "provider", "Some Disk (1.0)", "nvme"],
    );
  });

  it("knows of the IOMMU what the session does, where its files lie on no device", () => {
    const points = [point({ provider: `${ADDRESS}/cmb` })];
    const { devices } = withKernelDevices(machine, points, host);
    const known = { ...machine, devices, iommu: "translated" };
    const files = [point({ path: "kernel-host" })];
    assert.equal(withKernelDevices(known, files, host).iommu, "translated");
    assert.equal(withKernelDevices(known, points, host).iommu, null);
  });

  it("keeps what the session knows of a device already", () => {
    const points = [point({ provider: `${ADDRESS}/cmb` })];
    const [device] = withKernelDevices(machine, points, host).devices;
    const known = { ...machine, devices: [{ ...device!, name: "known" }] };
    assert.deepEqual(withKernelDevices(known, points, host).devices, known.devices);
  });
});
