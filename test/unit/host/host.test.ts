import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { Host } from "#lib/host/host.js";

describe("the device that a file stands for", () => {
  const host = new Host();

  // linux/Documentation/admin-guide/devices.txt: 1 char, 3 = /dev/null.
  it("is its kind and number", () => {
    assert.equal(host.deviceNumber("/dev/null"), "c1:3");
  });

  it("is the same through an open file's link", () => {
    const fd = openSync("/dev/null", "r");
    try {
      assert.equal(host.deviceNumber(`/proc/self/fd/${fd}`), "c1:3");
    } finally {
      closeSync(fd);
    }
  });

  it("is none for other files, and where there is no file", () => {
    assert.equal(host.deviceNumber("/proc/self/status"), null);
    assert.equal(host.deviceNumber("/dev/no-such-device"), null);
  });
});
