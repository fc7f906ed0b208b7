import { passInLab } from "../support/lab.js";

describe("controllers that are pulled out while they are used, in a virtual server of their own", () => {
  it("end their I/O, let others go on, and may come back (test/guest/unplug.ts)", () => {
    passInLab("default", "dist-test/guest/unplug.js");
  });
});
