/** Of kernel-files.test.ts: closes a ring that cannot wait any more for a read that is in flight. */
import { spawn } from "node:child_process";
import { closeSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { addon } from "#lib/addon.js";
import { FOREVER, IoRing } from "#lib/kernel/io-ring.js";
import { IORING_OP_READ, IOSQE_FIXED_FILE, SQE_FLAGS_SHIFT } from "#lib/kernel/spec.js";

const FDS = "/proc/self/fd";

function descriptorOf(kind: string): number {
  const found = readdirSync(FDS).find((fd) => {
    try {
      return readlinkSync(`${FDS}/${fd}`).includes(kind);
    } catch {
      return false;
    }
  });
  return Number(found);
}

// Of this pipe nothing will ever come.
const silent = spawn("sleep", ["60"], { stdio: ["ignore", "pipe", "ignore"] });
const { fd } = (silent.stdout as unknown as { _handle: { fd: number } })._handle;
const memory = addon().allocatePinned(2 ** 16, false);
const ring = IoRing.open(1);
const address = ring.hold(memory);
ring.registerFiles([fd]);
const command = IORING_OP_READ | (IOSQE_FIXED_FILE << SQE_FLAGS_SHIFT);
ring.submit(command, 0, 0, address, 4096, 0, 0);
ring.enter(0, FOREVER);
closeSync(descriptorOf("[io_uring]"));
ring.close();
memory.close();
const isMapped = readFileSync("/proc/self/maps", "utf8").includes(`${address.toString(16)}-`);
process.stdout.write(JSON.stringify({ isMapped }));
silent.kill();
