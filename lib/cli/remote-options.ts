/** What commands share that talk to another machine. */
import { isIP } from "node:net";
import { Option } from "commander";
import { P2pError } from "../errors.js";
import type { NicOptions } from "../remote/machine.js";
import { STAGINGS } from "../stream/plan.js";
import {
  parseCount,
  parseFileName,
  parseIndex,
  parseName,
  parseSeconds,
  valueOption,
} from "./options.js";

/** Of the NIC, by perftest's names. */
export interface NicFlags {
  ibDev?: string;
  ibPort?: number;
  gidIndex?: number;
}

export function nicOptions(): Option[] {
  return [
    valueOption(
      "--ib-dev <name>",
      "the RDMA device (default: the first that has a link)",
      parseName,
    ),
    valueOption("--ib-port <n>", "its port (default: the first that has a link)", parseCount),
    valueOption("--gid-index <n>", "the port's GID (default: RoCE v2's, by IPv4)", parseIndex),
  ];
}

export function nicOf({ ibDev, ibPort, gidIndex }: NicFlags): NicOptions {
  return {
    ...(ibDev === undefined ? {} : { device: ibDev }),
    ...(ibPort === undefined ? {} : { port: ibPort }),
    ...(gidIndex === undefined ? {} : { gidIndex }),
  };
}

export function stagingOption(): Option {
  return new Option(
    "--staging <memory>",
    "where blocks rest between NVMe device and NIC; auto: peer memory where both reach it",
  ).choices(STAGINGS);
}

export function keyFileOption(): Option {
  return valueOption("--key-file <file>", "a secret that both sides have", parseFileName);
}

export function peerTimeoutOption(): Option {
  return valueOption(
    "--peer-timeout <seconds>",
    "another side that says nothing for so long is gone; 3 s at least",
    parsePeerTimeout,
  ).default(10);
}

/** The other side says each second that it is there. */
function parsePeerTimeout(text: string): number {
  const seconds = parseSeconds(text);
  if (seconds >= 3 && seconds <= 3600) return seconds;
  throw new P2pError("BAD_ARGUMENT", `${seconds} s are not between 3 and 3600`);
}

/** Where to listen. */
export interface Address {
  host: string;
  port: number;
}

/** `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`; 0: any port that is free. Errors: BAD_ARGUMENT. */
export function parseAddress(text: string, usualPort: number): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = isIP(text) === 6 ? text : (match?.[1] ?? match?.[2]);
  const port = Number(match?.[3] ?? usualPort);
  if (host === undefined || port > 0xffff)
    throw new P2pError("BAD_ARGUMENT", `"${text}" is no address to listen at`, {
      hint: `write ADDR[:PORT], such as 192.0.2.7:${usualPort} or [::1]:${usualPort}`,
    });
  return { host, port };
}
