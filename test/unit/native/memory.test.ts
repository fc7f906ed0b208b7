import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";

const ADDON = new URL("../../../dist/addon.js", import.meta.url).href;

/** A worker that opens memory `id` as `memory`, then answers each message by evaluating it. */
function opener(id: number): Worker {
  const code = `
    import { parentPort } from "node:worker_threads";
    const { addon } = await import(${JSON.stringify(ADDON)});
    let memory, bytes;
    try {
      memory = addon().openMemory(${id});
      bytes = new Uint8Array(memory.buffer);
      parentPort.postMessage("open");
    } catch (error) {
      parentPort.postMessage(error.code);
    }
    parentPort.on("message", (text) => parentPort.postMessage(eval(text)));
  `;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
}

async function ask(worker: Worker, text?: string): Promise<unknown> {
  const answer = once(worker, "message");
  if (text !== undefined) worker.postMessage(text);
  const [value] = (await answer) as unknown[];
  return value;
}

describe("pinned memory", () => {
  it("is zeroed, page granular, and shows the same buffer each time", () => {
    const memory = addon().allocatePinned(5000, false);
    assert.equal(memory.size, 8192);
    assert.equal(memory.kind, "host");
    assert.equal(memory.pageSize, 4096);
    assert.equal(memory.buffer, memory.buffer);
    assert.ok(new Uint8Array(memory.buffer).every((byte) => byte === 0));
    memory.close();
  });

  it("is of hugepages where the pool has room, else of ordinary ones", () => {
    // Whichever there is here, size and page size agree.
    const memory = addon().allocatePinned(4096, true);
    assert.ok(memory.pageSize === 4096 || memory.pageSize === 2 ** 21);
    assert.equal(memory.size, memory.pageSize);
    memory.close();
  });

  it("is detached by close(), which may be repeated; other uses are errors", () => {
    const memory = addon().allocatePinned(4096, false);
    const { buffer } = memory;
    const bytes = new Uint8Array(buffer);
    memory.close();
    memory.close();
    assert.equal(buffer.byteLength, 0);
    assert.equal(bytes[0], undefined);
    assert.throws(() => memory.size, { name: "P2pError", code: "CLOSED" });
    assert.throws(
      () => memory.buffer,
      (error) => error instanceof P2pError,
    );
  });

  it("refuses sizes that cannot be had, with the system's word for it", () => {
    assert.throws(() => addon().allocatePinned(2 ** 52, false), {
      code: "NO_MEMORY",
      errno: 12,
      syscall: "mmap",
    });
  });

  it("is shared with another thread by its number", async () => {
    const memory = addon().allocatePinned(4096, false);
    const bytes = new Uint8Array(memory.buffer);
    bytes[7] = 42;
    const worker = opener(memory.id);
    assert.equal(await ask(worker), "open");
    assert.equal(await ask(worker, "bytes[7]"), 42);
    await ask(worker, "bytes[8] = 43");
    assert.equal(bytes[8], 43);
    // Each thread lets go for itself: the worker's view outlives ours, and then nothing is left.
    const { id } = memory;
    memory.close();
    assert.equal(await ask(worker, "bytes[8]"), 43);
    await worker.terminate();
    // Node releases a worker's buffers as it ends: the memory is gone with the last of them.
    assert.throws(() => addon().openMemory(id), { code: "GONE" });
  });

  it("survives a thread that ends without closing it", async () => {
    const memory = addon().allocatePinned(2 ** 22, true);
    for (let round = 0; round < 3; round++) {
      const worker = opener(memory.id);
      assert.equal(await ask(worker), "open");
      await worker.terminate();
    }
    new Uint8Array(memory.buffer).fill(1);
    memory.close();
  });

  it("is gone for threads that come too late", async () => {
    const memory = addon().allocatePinned(4096, false);
    const { id } = memory;
    memory.close();
    await new Promise(setImmediate); // the buffer's backing store goes in its own turn
    const worker = opener(id);
    assert.equal(await ask(worker), "GONE");
    await worker.terminate();
  });
});

describe("CPU copies", () => {
  it("copy and compare inside bounds, and refuse to go beyond", () => {
    const a = addon().allocatePinned(8192, false);
    const b = addon().allocatePinned(8192, false);
    const bytes = new Uint8Array(a.buffer);
    for (let at = 0; at < bytes.length; at++) bytes[at] = at * 7;
    addon().copy(b, 100, a, 1000, 5000);
    assert.equal(addon().compare(b, 100, a, 1000, 5000), -1);
    new Uint8Array(b.buffer)[100 + 4321] = 255;
    assert.equal(addon().compare(b, 100, a, 1000, 5000), 4321);
    for (const [to, from, length] of [
      [8192, 0, 1],
      [0, 8000, 193],
      [0, 0, 8193],
    ] as const)
      assert.throws(
        () => {
          addon().copy(b, to, a, from, length);
        },
        { code: "BAD_RANGE" },
      );
    assert.throws(() => {
      addon().copy(b, -1, a, 0, 1);
    }, TypeError);
    a.close();
    b.close();
  });

  it("loads aligned 32-bit words", () => {
    const memory = addon().allocatePinned(4096, false);
    new Uint32Array(memory.buffer)[1] = 0xdeadbeef;
    assert.equal(addon().read32(memory, 4), 0xdeadbeef);
    assert.throws(() => addon().read32(memory, 2), { code: "BAD_RANGE" });
    assert.throws(() => addon().read32(memory, 4096), { code: "BAD_RANGE" });
    memory.close();
  });

  it("know the CPU time of their own thread", () => {
    const before = addon().threadCpuTime();
    let sum = 0;
    const until = performance.now() + 30;
    while (performance.now() < until) sum += Math.sqrt(sum + 1);
    const after = addon().threadCpuTime();
    assert.ok(sum > 0);
    assert.ok(after.user + after.system - before.user - before.system > 5e6);
  });
});
