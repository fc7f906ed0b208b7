import type { PciTree } from "../../pci/tree.js";
import type { Host } from "../host.js";

/** - `warn`: it works, but not everything or not always; - `skip`: it could not be found out. */
export type CheckStatus = "pass" | "warn" | "fail" | "skip";

export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  /** What was seen, and where. */
  readonly evidence: string;
  /** The command that mends it, or what to change and where; null where there is nothing to mend. */
  readonly fix: string | null;
}

/** One question to a host, of which some look at its PCI functions. */
export type CheckFunction = (host: Host, pci: PciTree) => Check;

/** A check's results, of which each only gives what differs. */
export function results(name: string): {
  pass: (evidence: string) => Check;
  warn: (evidence: string, fix: string) => Check;
  fail: (evidence: string, fix: string) => Check;
  skip: (evidence: string, fix?: string) => Check;
} {
  return {
    pass: (evidence) => ({ name, status: "pass", evidence, fix: null }),
    warn: (evidence, fix) => ({ name, status: "warn", evidence, fix }),
    fail: (evidence, fix) => ({ name, status: "fail", evidence, fix }),
    skip: (evidence, fix) => ({ name, status: "skip", evidence, fix: fix ?? null }),
  };
}
