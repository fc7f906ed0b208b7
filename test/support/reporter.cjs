// mocha's spec reporter, which also keeps a tally in the file that P2PMEM_TEST_TOTALS names, for
// scripts/test.mjs to add up and to see what hangs, and ends a process that something keeps alive
// after the last test.
const { openSync, writeSync } = require("node:fs");
const { reporters } = require("mocha");

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = process.env.P2PMEM_TEST_TOTALS;
    if (file === undefined) return;
    const fd = openSync(file, "w");
    let length = 0;
    // In one write: in the lab's guest each system call on the file is a round trip to the host.
    const write = (current) => {
      const { passes, failures, pending } = runner.stats;
      const totals = { passed: passes, failed: failures, pending, ...current };
      const bytes = Buffer.from(JSON.stringify(totals));
      length = Math.max(length, bytes.length);
      writeSync(fd, Buffer.concat([bytes, Buffer.alloc(length - bytes.length, " ")]), 0, length, 0);
    };
    // A test that blocks its thread is one that mocha cannot end: whoever watches this file has to.
    const begin = (runnable) => {
      write({ running: runnable.fullTitle(), timeout: runnable.timeout() });
    };
    runner.on("hook", begin);
    runner.on("test", begin);
    runner.once("end", () => {
      write();
      // A failed test may have left its threads at work.
      setTimeout(() => {
        console.error("a test has left a thread, a process or a timer that does not end");
        process.exit(1);
      }, 30_000).unref();
    });
  }
};
