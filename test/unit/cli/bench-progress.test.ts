import assert from "node:assert/strict";
import type { BenchPoint } from "#lib/bench/point.js";
import { BenchProgressLine } from "#lib/cli/bench-progress.js";

const point = { job: "paths", rw: "copy", path: "p2p", bs: 4096, iodepth: 8 } as BenchPoint;

/** A terminal that collects what is written, and a clock that stands where it is put. */
class Terminal {
  readonly written: string[] = [];
  readonly line: BenchProgressLine;
  seconds = 0;

  constructor(columns: number | undefined, isTTY = true) {
    const write = (text: string): boolean => {
      this.written.push(text);
      return true;
    };
    const stream = { isTTY, columns, write } as unknown as NodeJS.WriteStream;
    this.line = new BenchProgressLine(stream, () => 1000 * this.seconds);
  }

  /** The line after this happened; the last one where nothing was written. */
  at(seconds: number, sample: number, bytes: number, changes = {}): string {
    this.seconds = seconds;
    this.line.update({ point, samples: 10, sample, phase: "measure", bytes, ...changes });
    return this.written.at(-1)?.replace("\r\x1b[K", "") ?? "";
  }
}

describe("the progress of a benchmark", () => {
  it("is nothing where standard error is no terminal", () => {
    const pipe = new Terminal(undefined, false);
    pipe.at(1, 1, 1e9);
    pipe.line.end();
    assert.deepEqual(pipe.written, []);
  });

  it("says what runs, which sample of how many, and the rate of this one", () => {
    const terminal = new Terminal(100);
    assert.equal(terminal.at(1, 1, 0), "paths: p2p bs 4k depth 8, sample 1/10, starting");
    assert.match(terminal.at(3, 1, 4e9), /sample 1\/10, 2\.00 GB\/s$/);
    assert.match(
      terminal.at(4, 2, 0, { point: { ...point, rw: "randread" } }),
      /^paths: randread p2p/,
    );
    assert.match(terminal.at(5, 2, 1e9), /1\.00 GB\/s/, "not of the sample before");
  });

  it("says what is done for the verification, whose time is not the sample's", () => {
    const terminal = new Terminal(100);
    assert.match(terminal.at(1, 1, 0, { phase: "prepare" }), /preparing$/);
    terminal.at(5, 1, 0);
    assert.match(terminal.at(6, 1, 3e9), /3\.00 GB\/s/);
    assert.match(terminal.at(7, 1, 0, { phase: "verify" }), /verifying$/);
  });

  it("says how long the rest takes, once a sample tells, and counts down", () => {
    const terminal = new Terminal(100);
    assert.doesNotMatch(terminal.at(1, 1, 1), /ETA/);
    assert.match(terminal.at(20, 2, 1), /ETA 3:00$/, "nine samples of 20 s");
    assert.match(terminal.at(35, 2, 1), /ETA 2:45$/);
    assert.match(terminal.at(90, 2, 1), /ETA 2:40$/, "a slow one is not counted twice");
    assert.match(terminal.at(200, 10, 1), /ETA 0:23$/);
  });

  it("is one line that never wraps, changes ten times a second at most, and is gone at the end", () => {
    const terminal = new Terminal(40);
    assert.equal(terminal.at(1, 1, 1).length, 39);
    terminal.at(1.05, 1, 2);
    assert.equal(terminal.written.length, 1);
    terminal.at(1.1, 1, 2);
    assert.equal(terminal.written.length, 2);
    terminal.line.end();
    assert.equal(terminal.written.at(-1), "\r\x1b[K");
  });
});
