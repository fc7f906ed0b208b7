// mocha's spec reporter, which also leaves the totals in the file that P2PMEM_TEST_TOTALS names, for
// scripts/test.mjs to add up, and ends a process that something keeps alive after the last test.
const { writeFileSync } = require("node:fs");
const { reporters } = require("mocha");

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = process.env.P2PMEM_TEST_TOTALS;
    if (file === undefined) return;
    runner.once("end", () => {
      const { passes, failures, pending } = runner.stats;
      writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, pending }));
      // A failed test may have left its threads at work.
      setTimeout(() => {
        console.error("a test has left a thread, a process or a timer that does not end");
        process.exit(1);
      }, 30_000).unref();
    });
  }
};
