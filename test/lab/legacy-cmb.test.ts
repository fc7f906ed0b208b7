import { passInLab } from "../support/lab.js";

describe("a CMB of before NVMe 1.4, in a virtual server that has one", () => {
  it("does all that a later one does (test/device/controller-memory.test.ts)", () => {
    passInLab("legacy-cmb", "dist-test/device/controller-memory.test.js");
  });
});
