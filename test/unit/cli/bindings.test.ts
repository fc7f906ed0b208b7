import assert from "node:assert/strict";
import {
  type BindingReport,
  bindingsCsv,
  bindingsJson,
  bindingsScript,
} from "#lib/cli/output/bindings.js";
import { parseBdf } from "#lib/pci/bdf.js";

const REPORT: BindingReport = {
  version: "1.2.3",
  dry_run: true,
  devices: [
    {
      ...{ address: parseBdf("0000:03:00.0"), earlier_driver: null, driver: "vfio-pci" },
      ...{ iommu_group: 9, file: "/dev/vfio/9", user: null, changed: true },
    },
  ],
  commands: ["true", "false"],
};

describe("bindings for programs", () => {
  it("are a script that ends at the first command that fails, or does nothing", () => {
    assert.equal(bindingsScript(REPORT), "true &&\nfalse\n");
    assert.equal(bindingsScript({ ...REPORT, commands: [] }), "# nothing to do\n");
  });

  it("are one JSON object, with the commands", () => {
    assert.deepEqual(JSON.parse(bindingsJson(REPORT)), REPORT);
  });

  it("are a CSV row for each device, empty where there is nothing", () => {
    assert.equal(
      bindingsCsv(REPORT),
      "address,changed,earlier_driver,driver,iommu_group,file,user\r\n" +
        "0000:03:00.0,true,,vfio-pci,9,/dev/vfio/9,\r\n",
    );
  });
});
