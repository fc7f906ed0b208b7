/**
 * The driver's hot path relies on what V8 makes of plain typed-array accesses, which ECMAScript does
 * not promise (lib/nvme/queue-pair.ts). So each supported Node version shows what it generates.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  elementStores,
  hasCycle,
  hotPart,
  isElementLoad,
  isFirstElementLoad,
  parseListings,
  type Instruction,
} from "./disassembly.js";

const root = new URL("../../", import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));

/** What fixture.mjs passes to submit(), as it must be stored; null: a value in a register. */
const ENTRY = [
  null, // opcode and command id
  0x1111,
  ...[0, 0, 0, 0],
  ...[0x5555, 0x6666, 0x7777, 0x8888],
  ...[0x3333, 0x2222],
  0x4444, // NLB is 0's based
  ...[0, 0, 0],
];
const COOKIE = 7;

/** Optimised by TurboFan when the fixture says so, at no other time, and by nothing else. */
const FLAGS = [
  "--allow-natives-syntax",
  "--print-opt-code",
  "--no-concurrent-recompilation",
  "--no-use-osr",
  "--no-maglev",
  "--no-sparkplug",
];

/** Null where this Node cannot be had, and need not be. */
function disassemble(major: string, ...modes: string[]): Map<string, Instruction[]> | null {
  const found = spawnSync(process.execPath, [path("scripts/node-versions.mjs"), major], {
    encoding: "utf8",
  });
  if (found.status !== 0) {
    if (process.env["CI"] === "true") assert.fail(found.stderr);
    console.log(`      skipped: ${found.stderr.trim()}`);
    return null;
  }
  const node = found.stdout.trim().slice(major.length + 1);
  const run = spawnSync(
    node,
    [
      ...FLAGS,
      path("test/codegen/fixture.mjs"),
      new URL("dist/nvme/queues/queue-pair.js", root).href,
      ...modes,
    ],
    { encoding: "utf8", maxBuffer: 1 << 26 },
  );
  assert.equal(run.status, 0, run.stderr);
  return parseListings(run.stdout);
}

/** Closing a device's memory detaches its buffers, and then V8 checks each access: other code. */
const MODES = [
  ["fresh", "in a new thread"],
  ["detach", "after a detach"],
] as const;

for (const [major, [mode, when]] of ["20", "22", "24"].flatMap((major) =>
  MODES.map((mode) => [major, mode] as const),
))
  describe(`V8's code for the queue pair, Node ${major}, ${when}`, function () {
    this.timeout(300_000);
    let functions: Map<string, Instruction[]>;

    before(function () {
      if (process.arch !== "x64") this.skip();
      const listings = disassemble(major, mode);
      if (!listings) this.skip();
      functions = listings;
    });

    const hot = (name: string): Instruction[] => {
      const instructions = functions.get(name);
      assert.ok(instructions, `${name} was not optimised`);
      return hotPart(instructions);
    };

    it("stores the sixteen dwords of an entry one by one, in order, then the doorbell", () => {
      const stores = elementStores(hot("submitOne"));
      assert.deepEqual(
        stores.map(({ mnemonic }) => mnemonic),
        stores.map(() => "movl"),
      );
      // The cookie goes to the driver's own memory; the doorbell's index is a constant.
      assert.deepEqual(
        stores.map(({ value }) => value),
        [COOKIE, ...ENTRY, null],
      );
      assert.deepEqual(
        stores.map(({ scale }) => scale),
        [...[COOKIE, ...ENTRY].map(() => 4), 1],
      );
    });

    it("does so too where submit() is called rather than inlined", () => {
      const [cookie, ...entry] = elementStores(hot("submit"));
      assert.equal(cookie?.mnemonic, "movl");
      assert.deepEqual(
        entry.map(({ mnemonic, value }) => (mnemonic === "movl" ? value : mnemonic)),
        ENTRY.map((value) => (value === 0 ? 0 : null)),
      );
    });

    for (const name of ["ring", "acknowledge"])
      it(`makes of ${name}() one 32-bit store, without a lock`, () => {
        assert.deepEqual(elementStores(hot(name)), [{ mnemonic: "movl", scale: 1, value: null }]);
        for (const { mnemonic } of hot(name)) assert.doesNotMatch(mnemonic, /lock|xchg|fence/);
      });

    it("loads the phase anew in each turn of a poll loop", () => {
      const instructions = functions.get("pollFor") ?? [];
      assert.ok(hasCycle(instructions), "no loop found");
      assert.ok(!hasCycle(instructions, isElementLoad), "a turn of the loop loads nothing");
    });

    it("calls nothing on the way", () => {
      for (const name of ["submitOne", "submit", "ring", "next", "acknowledge", "pollFor"])
        assert.ok(!hot(name).some(({ mnemonic }) => mnemonic === "call"), name);
    });
  });

for (const [major, [mode, when]] of ["20", "22", "24"].flatMap((major) =>
  MODES.map((mode) => [major, mode] as const),
))
  describe(`V8's code for shadow doorbells, Node ${major}, ${when}`, function () {
    this.timeout(300_000);
    let functions: Map<string, Instruction[]>;

    before(function () {
      if (process.arch !== "x64") this.skip();
      const listings = disassemble(major, mode, "shadow");
      if (!listings) this.skip();
      functions = listings;
    });

    for (const name of ["ring", "acknowledge"])
      it(`lets ${name}() exchange the shadow, then load EventIdx, and store to the register plainly`, () => {
        const instructions = functions.get(name);
        assert.ok(instructions, `${name} was not optimised`);
        const steps = instructions.flatMap((instruction) => {
          const { mnemonic, operands } = instruction;
          if (/\(AtomicsExchange\)/.test(operands) || mnemonic.startsWith("xchg"))
            return "exchange";
          if (isFirstElementLoad(instruction)) return "load";
          return elementStores([instruction]).map(({ mnemonic }) => `${mnemonic} store`);
        });
        assert.deepEqual(steps, ["exchange", "load", "movl store"]);
      });
  });

describe("the reader of V8's code", () => {
  const listing = (...lines: string[]): Instruction[] => {
    const text = lines.map((line, i) => `0x7f00  ${(4 * i).toString(16)}  90  ${line}`).join("\n");
    return parseListings(`name = f\n${text}`).get("f")!;
  };

  it("tells a poll loop that loads from one whose load was hoisted", () => {
    const load = "movl rcx,[rcx+rsi*4]";
    const loop = [
      "shrl rdx, 16",
      "cmpl rdx,rdi",
      "jz 0x7f18  <+0x18>",
      "jmp 0x7f00  <+0x4>",
      "ret 0x8",
    ];
    const inside = listing("nop", load, ...loop);
    const outside = listing(load, "nop", ...loop);
    assert.ok(hasCycle(inside) && hasCycle(outside));
    assert.ok(!hasCycle(inside, isElementLoad));
    assert.ok(hasCycle(outside, isElementLoad));
  });

  it("sees stores of every width, and of registers and numbers, but neither fields nor loads", () => {
    const stores = elementStores(
      listing(
        "movl [r14+rsi*4],0x5555",
        "REX.W movq [rdx+rcx*8],rdi",
        "vmovdqu [r8+r9*1],xmm0",
        "xchgl [r8+r9*1],rcx",
        "REX.W movq [rdx+0x57],r8",
        "movl rcx,[rcx+rsi*4]",
        "REX.W cmpq [rcx+rsi*8],0x0",
      ),
    );
    assert.deepEqual(stores, [
      { mnemonic: "movl", scale: 4, value: 0x5555 },
      { mnemonic: "movq", scale: 8, value: null },
      { mnemonic: "vmovdqu", scale: 1, value: null },
      { mnemonic: "xchgl", scale: 1, value: null },
    ]);
  });
});
