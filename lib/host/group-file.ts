import { constants } from "node:fs";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { Condition } from "./condition.js";
import { groupFile, type Host } from "./host.js";
import { openDevices } from "./processes.js";
import type { Step } from "./steps.js";

/** A user of this host. */
export interface User {
  readonly name: string;
  readonly uid: number;
}

const ROOT: User = { name: "root", uid: 0 };

/**
 * VFIO lets one process have a group's file open; an unbind would wait for it. Errors: IN_USE.
 */
export function requireClosed(host: Host, group: number): Condition[] {
  const path = groupFile(group);
  if (!host.exists(path)) return [];
  if (host.tryOpen(path, constants.O_RDWR) === "EBUSY") {
    const number = host.deviceNumber(path);
    const users = number === null ? undefined : openDevices(host).get(number);
    throw new P2pError("IN_USE", `${path} is open in ${users?.join(", ") ?? "another process"}`, {
      hint: `end it first; sudo fuser -v ${path} shows it`,
    });
  }
  return [{ shell: opens(path), violation: null }];
}

/** Errors: BIND_FAILED. */
export function expectGroupFile(host: Host, address: Bdf, group: number): Step {
  const path = groupFile(group);
  return {
    shell: `[ -e ${path} ]`,
    run: () => {
      if (host.exists(path)) return;
      throw new P2pError("BIND_FAILED", `${address} is bound, but there is no ${path}`, {
        device: address,
        hint: "VFIO's device files appear on the devtmpfs of the host: is this a container?",
      });
    },
  };
}

/** Gives the group's file to a user. Errors: BIND_FAILED, where it did not stay so. */
export function giveGroupFile(host: Host, group: number, user: User): Step {
  const path = groupFile(group);
  let before: number | null = null;
  return {
    shell:
      `{ udevadm settle --timeout=10 2>/dev/null || true; } && chown ${user.name} ${path} && ` +
      `[ "$(stat -c %u ${path})" = ${user.uid} ]`,
    run: () => {
      // The file is new: a rule of udev's would give it to somebody else later. Without udev no such
      // rule is there either.
      host.run("udevadm", "settle", "--timeout=10");
      before = host.ownerOf(path);
      host.chown(path, user.uid);
      const owner = host.ownerOf(path);
      if (owner !== user.uid)
        throw new P2pError("BIND_FAILED", `${path} belongs to user ${owner}, not to ${user.name}`, {
          hint: "a rule in /etc/udev/rules.d may say so",
        });
    },
    undo: () => {
      if (before !== null && host.exists(path)) host.chown(path, before);
    },
  };
}

/**
 * Takes the group's file from its user, so that nobody opens it before its device is detached.
 * Errors: IN_USE, where somebody has it open, who then keeps it.
 */
export function takeGroupFile(host: Host, group: number): Step {
  const path = groupFile(group);
  return {
    shell: `chown ${ROOT.name} ${path} && ${opens(path)}`,
    run: () => {
      if (!host.exists(path)) return;
      const before = host.ownerOf(path);
      if (before !== ROOT.uid) host.chown(path, ROOT.uid);
      try {
        requireClosed(host, group);
      } catch (error) {
        if (before !== ROOT.uid) host.chown(path, before);
        throw error;
      }
    },
  };
}

function opens(path: string): string {
  return `true <>${path}`;
}
