import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Journal } from "#lib/remote/journal.js";

const end = { identity: "A, namespace 1", offset: 0, blockSize: 512, bytes: 1 << 20 };
const subject = {
  ...{ src: "0000:01:00.0/1", dst: "rdma://server:18516/scratch" },
  ...{ ends: { src: end, dst: { ...end, identity: "B, namespace 1" } }, size: 10_000, bs: 4096 },
  verify: true,
};

describe("Journals of copies", () => {
  let directory: string;
  let file: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "p2pmem-journal-"));
    file = path.join(directory, "journal");
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  /** As a process does that opens one, and ends. */
  function use<T>(run: (journal: Journal) => T): T {
    const journal = Journal.open(file);
    try {
      return run(journal);
    } finally {
      journal.close();
    }
  }

  const begin = (confirmed = 0): string =>
    use((journal) => {
      journal.begin(subject);
      if (confirmed > 0) journal.confirm(confirmed);
      return journal.copy;
    });

  it("say how far the same copy has come, and leave nothing else behind", () => {
    const copy = begin(2);
    assert.deepEqual(readdirSync(directory), ["journal"]);
    use((journal) => {
      assert.equal(journal.copy, copy);
      journal.begin(subject);
      assert.equal(journal.confirmed, 2);
      journal.remove();
    });
    assert.deepEqual(readdirSync(directory), []);
    use((journal) => {
      assert.notEqual(journal.copy, copy);
    });
    assert.deepEqual(readdirSync(directory), [], "of a copy that has not begun");
  });

  it("are refused where they are another copy's, or of other blocks", () => {
    begin();
    const { src, dst } = subject.ends;
    const changed = (now: Partial<typeof end>) => ({ ends: { src, dst: { ...dst, ...now } } });
    for (const [other, message] of [
      [{ src: "0000:01:00.0/2" }, /the source is 0000:01:00.0\/1 there, 0000:01:00.0\/2 here/],
      [{ dst: "rdma://server:18516/other" }, /the destination is/],
      [{ size: 10_001 }, /the size is 10000 there, 10001 here/],
      [{ bs: 512 }, /the block size/],
      [{ verify: false }, /--verify is crc32c there, none here/],
      [changed({ identity: "C" }), /at the destination the namespace was B, namespace 1, and is C/],
      [changed({ offset: 4096 }), /at the destination the offset was 0, and is 4096/],
      [changed({ blockSize: 4096 }), /the size of a logical block was 512, and is 4096/],
      [changed({ bytes: 1 << 19 }), /the length was 1048576, and is 524288/],
      [{ ends: { src: { ...src, offset: 512 }, dst } }, /at the source the offset/],
    ] as const)
      use((journal) => {
        assert.throws(
          () => {
            journal.begin({ ...subject, ...other });
          },
          { code: "BAD_JOURNAL", message },
        );
      });
  });

  it("are refused where they are none, and never overwritten then", () => {
    begin(3);
    const whole = readFileSync(file, "utf8");
    const texts = [
      ...["", "{", "[]", "null", whole.slice(0, 40)],
      whole.replace('"version": 1', '"version": 2'),
      whole.replace('"confirmed": 3', '"confirmed": 4'),
      whole.replace('"confirmed": 3', '"confirmed": -1'),
    ];
    for (const text of texts) {
      writeFileSync(file, text);
      assert.throws(() => Journal.open(file), { code: "BAD_JOURNAL" });
      assert.equal(readFileSync(file, "utf8"), text);
      assert.deepEqual(readdirSync(directory), ["journal"]);
    }
  });

  it("say of a place where they cannot be that it is none", () => {
    for (const place of [path.join(directory, "none", "journal"), directory])
      assert.throws(() => Journal.open(place), { code: "JOURNAL" });
  });

  it("say of one that cannot be removed that the copy is complete", () => {
    use((journal) => {
      journal.begin(subject);
      rmSync(file);
      mkdirSync(file);
      assert.throws(
        () => {
          journal.remove();
        },
        { code: "JOURNAL", message: /is complete, but its journal .* cannot be removed: \w+$/ },
      );
    });
  });

  it("are one copy's at a time", () => {
    use((journal) => {
      journal.begin(subject);
      assert.throws(() => Journal.open(file), {
        code: "JOURNAL",
        message: /another copy that runs/,
      });
      journal.confirm(1);
      assert.throws(() => Journal.open(file), { code: "JOURNAL" });
    });
    begin(2);
  });

  it("are free when the process that had one is killed, whatever it left behind", async () => {
    const module = fileURLToPath(import.meta.resolve("#lib/remote/journal.js"));
    const script = `
      import { writeFileSync } from "node:fs";
      import { Journal } from ${JSON.stringify(module)};
      const journal = Journal.open(${JSON.stringify(file)});
      journal.begin(${JSON.stringify(subject)});
      journal.confirm(2);
      writeFileSync(${JSON.stringify(`${file}.tmp`)}, "{");
      process.stdout.write("there");
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    assert.throws(() => Journal.open(file), { code: "JOURNAL", message: /another copy that runs/ });
    child.kill("SIGKILL");
    await once(child, "exit");
    use((journal) => {
      journal.begin(subject);
      assert.equal(journal.confirmed, 2);
      journal.confirm(3);
      assert.deepEqual(readdirSync(directory).sort(), ["journal", "journal.lock"]);
    });
    assert.deepEqual(readdirSync(directory), ["journal"]);
  });
});
