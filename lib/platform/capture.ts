import { closeSync, openSync, readSync, statSync } from "node:fs";
import { P2pError } from "../errors.js";
import type { RawTopology } from "../platform.js";
import { functionList, listFunctions, readCpu, readFunction } from "./sysfs.js";

/**
 * The topology of a machine whose `sys` and `proc` scripts/capture-topology has copied to a
 * directory. Unlike on a running machine nothing can come or go while it is read: whatever is not
 * whole is an error. Errors: BAD_CAPTURE; BAD_TOPOLOGY, where its links do not make a tree.
 */
export function readCapture(directory: string): RawTopology {
  try {
    checkDirectory(directory);
    const functions = listFunctions(directory).map((name) => readFunction(directory, name));
    return { functions, cpu: readCpu(directory) };
  } catch (error) {
    if (error instanceof P2pError && error.code !== "BAD_SYSFS") throw error;
    const { message, errno, syscall } = error as P2pError;
    throw new P2pError("BAD_CAPTURE", message, {
      ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
      ...(syscall === undefined ? {} : { syscall }),
      hint: "capture the topology again, and unpack it as the user who reads it",
      cause: error,
    });
  }
}

function checkDirectory(directory: string): void {
  const found = statSync(directory, { throwIfNoEntry: false });
  if (found === undefined) throw badCapture(`there is no directory ${directory}`);
  if (!found.isDirectory())
    throw isArchive(directory)
      ? badCapture(
          `${directory} is an archive`,
          `unpack it: mkdir capture && tar -xf ${directory} -C capture`,
        )
      : badCapture(`${directory} is not a directory`);
  if (statSync(functionList(directory), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw badCapture(`${directory} has no sys/bus/pci/devices`);
}

/** POSIX.1 pax, "ustar Interchange Format": the magic at offset 257; or packed with gzip. */
function isArchive(file: string): boolean {
  const start = Buffer.alloc(262);
  const fd = openSync(file, "r");
  try {
    readSync(fd, start, 0, start.length, 0);
  } finally {
    closeSync(fd);
  }
  return start.toString("latin1", 257) === "ustar" || start.readUInt16BE(0) === 0x1f8b;
}

function badCapture(
  message: string,
  hint = "name the directory that holds sys, as unpacked from what scripts/capture-topology wrote",
): P2pError {
  return new P2pError("BAD_CAPTURE", message, { hint });
}
