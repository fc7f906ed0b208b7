import assert from "node:assert/strict";
import { readJobs } from "#lib/bench/bench.js";
import { describeFailure } from "#lib/cli/failure.js";
import { P2pError } from "#lib/errors.js";
import { JobFiles } from "../../../support/job-files.js";

const MISSPELLED = "p2p.bw_byte >= 1g";

async function mistakeOf(reading: Promise<unknown>): Promise<P2pError> {
  try {
    await reading;
  } catch (error) {
    assert.ok(error instanceof P2pError, String(error));
    return error;
  }
  return assert.fail("it was read");
}

describe("a mistake in what is expected", () => {
  const files = new JobFiles();
  after(() => {
    files.remove();
  });

  it("in a job file is shown by file, line, field, column, and a caret", async () => {
    const file = files.write(
      `it:\n  bs: 4k\n  expect:\n    - iops > 0\n    - lat_ns.p99 < 1ms and ${MISSPELLED}\n`,
    );
    const error = await mistakeOf(readJobs({ jobs: file }));
    assert.equal(error.code, "BAD_JOB_FILE");
    const place = `${file}:5: it.expect[1]: column 22: `;
    assert.ok(error.message.startsWith(place), error.message);
    assert.match(error.hint!, /did you mean p2p\.bw_bytes\?/);
    assert.deepEqual(error.excerpt!.split("\n"), [
      `lat_ns.p99 < 1ms and ${MISSPELLED}`,
      "^".padStart(22),
    ]);
    const { line, exitCode } = describeFailure(error);
    assert.equal(exitCode, 2);
    assert.equal(line!.split("\n").length, 3, "the message, what is written, and the caret");
  });

  it("that is no list has the line of its key", async () => {
    const file = files.write(`it:\n  bs: 4k\n  expect: ${MISSPELLED}\n`);
    const { message } = await mistakeOf(readJobs({ jobs: file }));
    assert.ok(message.startsWith(`${file}:3: it.expect: column 1: `), message);
  });

  it("in global is shown there", async () => {
    const file = files.write(`global: { expect: [iops > 0, iops >] }\nit: { bs: 4k }\n`);
    const { message } = await mistakeOf(readJobs({ jobs: file }));
    assert.ok(message.startsWith(`${file}:1: global.expect[1]: column 7: `), message);
  });

  it("of an option or a program is a BAD_EXPRESSION with column and caret", async () => {
    const byOption = readJobs({ jobs: "quick", overrides: { expect: ["iops > 0", MISSPELLED] } });
    const byProgram = readJobs({ jobs: { it: { expect: MISSPELLED } } });
    for (const [reading, field] of [
      [byOption, "expect[1]"],
      [byProgram, "it.expect"],
    ] as const) {
      const error = await mistakeOf(reading);
      assert.equal(error.code, "BAD_EXPRESSION");
      assert.ok(error.message.startsWith(`${field}: column 1: `), error.message);
      assert.equal(error.excerpt, `${MISSPELLED}\n^`);
      assert.equal(describeFailure(error).exitCode, 2);
    }
  });
});
