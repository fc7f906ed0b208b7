import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { runCopy } from "#lib/copy/copy.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { devicesOf, openSession, planOf } from "./machine.js";

/** Copies without end, says "moving" when something has moved, and then does what `then` says. */
const script = (then: string): string => `
  import { devicesOf, openSession, planOf } from "./dist-test/device/machine.js";
  import { runCopy } from "./dist/copy/copy.js";
  const session = await openSession();
  const { nvme1, nvme2, card } = devicesOf(session);
  const provider = await session.provider(card);
  const rest = { path: "p2p", provider, size: 1 << 20, bs: 1 << 16, runtime: 3600 };
  const onProgress = (bytes) => { if (bytes > 0) { console.log("moving"); ${then} } };
  await runCopy(session, planOf(nvme1, nvme2, { ...rest, onProgress }));
`;

/** The process dies with I/O in flight, in different ways; then its devices are looked at. */
describe("a process that ends in the middle of a copy", () => {
  for (const { title, then, signal, ends } of [
    { title: "by process.exit", then: "process.exit(7);", signal: null, ends: [7, null] },
    { title: "by an error", then: 'throw new Error("oops");', signal: null, ends: [1, null] },
    { title: "by SIGKILL", then: "", signal: "SIGKILL", ends: [null, "SIGKILL"] },
  ] as const)
    it(`${title} leaves devices that work`, async () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", script(then)], {
        cwd: fileURLToPath(new URL("../../", import.meta.url)),
        stdio: ["ignore", "pipe", "ignore"],
      });
      const ended = once(child, "exit");
      const [line] = (await once(createInterface(child.stdout), "line")) as [string];
      assert.equal(line, "moving");
      if (signal !== null) child.kill(signal);
      assert.deepEqual(await ended, ends);

      const session = await openSession();
      try {
        const { nvme1, nvme2, card } = devicesOf(session);
        const provider = await session.provider(card);
        const plan = planOf(nvme1, nvme2, { path: "p2p", provider, size: 2 ** 20 });
        await prepareSource(session, plan, "pattern", 61);
        await runCopy(session, plan);
        assert.equal((await verifyDestination(session, plan, "pattern", 61)).mismatches, 0);
      } finally {
        await session.close();
      }
    });
});
