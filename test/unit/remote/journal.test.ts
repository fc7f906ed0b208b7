import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Journal } from "#lib/remote/journal.js";

const subject = {
  ...{ src: "0000:01:00.0/1", dst: "rdma://server:18516/scratch" },
  ...{ identities: { src: "A/1", dst: "B/1" }, size: 10_000, bs: 4096 },
};
const copy = "0123456789abcdef".repeat(2);

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

  it("say how far the same copy has come, and leave nothing else behind", () => {
    assert.equal(Journal.copyOf(file), null);
    Journal.open(file, subject, copy).confirm(2);
    assert.equal(Journal.copyOf(file), copy);
    const again = Journal.open(file, subject, copy);
    assert.equal(again.confirmed, 2);
    assert.deepEqual(readdirSync(directory), ["journal"]);
    again.remove();
    assert.deepEqual(readdirSync(directory), []);
  });

  it("are refused where they are another copy's", () => {
    Journal.open(file, subject, copy);
    for (const other of [
      { src: "0000:01:00.0/2" },
      { dst: "rdma://server:18516/other" },
      { identities: { src: "A/1", dst: "C/1" } },
      { size: 10_001 },
      { bs: 512 },
    ])
      assert.throws(() => Journal.open(file, { ...subject, ...other }, copy), {
        code: "BAD_JOURNAL",
        message: /is of another copy/,
      });
  });

  it("are refused where they are none, and never overwritten then", () => {
    Journal.open(file, subject, copy).confirm(3);
    const whole = readFileSync(file, "utf8");
    const texts = [
      "",
      "{",
      "[]",
      "null",
      whole.slice(0, 40),
      whole.replace('"version": 1', '"version": 2'),
    ];
    texts.push(whole.replace('"confirmed": 3', '"confirmed": 4'));
    texts.push(whole.replace('"confirmed": 3', '"confirmed": -1'));
    for (const text of texts) {
      writeFileSync(file, text);
      assert.throws(() => Journal.open(file, subject, copy), { code: "BAD_JOURNAL" });
      assert.equal(readFileSync(file, "utf8"), text);
    }
  });

  it("say of a place where they cannot be that it is none", () => {
    for (const place of [path.join(directory, "none", "journal"), directory])
      assert.throws(() => Journal.open(place, subject, copy), { code: "JOURNAL" });
  });
});
