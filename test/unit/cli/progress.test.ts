import assert from "node:assert/strict";
import { Progress } from "#lib/cli/progress.js";

/** Collects what is written. */
function stream(isTTY: boolean): { written: string[]; stream: NodeJS.WriteStream } {
  const written: string[] = [];
  const write = (text: string): boolean => {
    written.push(text);
    return true;
  };
  return { written, stream: { isTTY, write } as unknown as NodeJS.WriteStream };
}

describe("progress", () => {
  it("writes nothing where standard error is no terminal", () => {
    const { written, stream: pipe } = stream(false);
    const progress = new Progress("copy", pipe);
    progress.update(1000, null);
    progress.end();
    assert.deepEqual(written, []);
  });

  it("is one line that is rewritten, and gone at the end", () => {
    const { written, stream: terminal } = stream(true);
    const progress = new Progress("copy", terminal);
    progress.update(2 ** 20, 2 ** 21);
    progress.update(2 ** 20 + 1, 2 ** 21);
    progress.end();
    assert.equal(written.length, 2, "two updates at once are one line");
    assert.match(written[0]!, /^\r\x1b\[Kcopy: 1 MiB 50 %, [\d.]+ GB\/s, [\d.]+ s$/);
    assert.equal(written[1], "\r\x1b[K");
  });

  it("shows no share where time ends the run", () => {
    const { written, stream: terminal } = stream(true);
    new Progress("p2p", terminal).update(2 ** 20, null);
    assert.doesNotMatch(written[0]!, /%/);
  });
});
