import type { ChildProcess } from "node:child_process";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** proc(5), /proc/net/tcp: whether a process of this machine waits for connections to the port. */
function isListening(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return ["tcp", "tcp6"].some((name) =>
    readFileSync(`/proc/net/${name}`, "utf8")
      .split("\n")
      // The third field is the peer; 0A is TCP_LISTEN.
      .some((line) => line.includes(local) && / 0A /.test(line)),
  );
}

/** Resolves when `server` takes connections at the port of this machine; fails where it ends before. */
export async function waitUntilListening(port: number, server: ChildProcess): Promise<void> {
  while (!isListening(port)) {
    assert.equal(server.exitCode ?? server.signalCode, null, "the server has ended");
    await delay(20);
  }
}
