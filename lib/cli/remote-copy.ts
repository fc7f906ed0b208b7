import type { Command, Option } from "commander";
import { P2pError } from "../errors.js";
import { formatAnyEndpoint, isRemote } from "../io/endpoint.js";
import type { AnyEndpoint, Endpoint, RemoteEndpoint } from "../io/endpoint.js";
import { formatProvider } from "../p2pmem/provider-name.js";
import type { ProviderSpec } from "../p2pmem/provider-name.js";
import { runRemoteCopy, type RemoteCopyPlan } from "../remote/copy.js";
import { readKeyFile } from "../remote/key-file.js";
import { SessionMachine } from "../remote/machine.js";
import { remoteCopyResult } from "../remote/result.js";
import type { Staging } from "../stream/plan.js";
import type { VerifyMode } from "../verify/mode.js";
import { packageVersion } from "../version.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import { parseFileName, parseSeconds, valueOption } from "./options.js";
import type { GlobalOptions } from "./options.js";
import { remoteCopyCsv, remoteCopyJson, remoteCopyText } from "./output/remote-copy.js";
import { Progress } from "./progress.js";
import {
  keyFileOption,
  nicOf,
  nicOptions,
  peerTimeoutOption,
  stagingOption,
  type NicFlags,
} from "./remote-options.js";

/** Of copy's options those that a copy to or from another machine has. */
export interface RemoteCopyOptions extends GlobalOptions, NicFlags {
  size?: number;
  bs: number;
  iodepth: number;
  /** True: without a mode. */
  verify?: VerifyMode | "none" | true;
  provider?: ProviderSpec;
  staging?: Staging;
  keyFile?: string;
  reconnect: number;
  resume?: string;
  peerTimeout: number;
}

/** Options that make sense with an `rdma://` endpoint only, and those that make none with one. */
const REMOTE_ONLY = ["staging", "keyFile", "reconnect", "resume", "peerTimeout"].concat(
  ...["ibDev", "ibPort", "gidIndex"],
);
const LOCAL_ONLY = ["via", "jobs", "descriptors", "sqInCmb", "listsInCmb"];

export function remoteCopyOptions(): Option[] {
  return [
    stagingOption(),
    keyFileOption(),
    valueOption(
      "--reconnect <seconds>",
      "try for so long to go on after a connection broke; 0: do not",
      (text) => (text === "0" ? 0 : parseSeconds(text)),
    ).default(30),
    valueOption("--resume <file>", "a journal: a copy that was killed goes on", parseFileName),
    peerTimeoutOption(),
    ...nicOptions(),
  ];
}

/** Errors: BAD_ARGUMENT, where both ends are remote, or an option is of no use for these two. */
export function checkEndpoints(
  source: AnyEndpoint,
  destination: AnyEndpoint,
  command: Command,
): void {
  if (isRemote(source) && isRemote(destination))
    throw new P2pError("BAD_ARGUMENT", "one end of a copy must be of this machine", {
      hint: `run it on ${source.host} or ${destination.host}, or copy in two steps`,
    });
  const isAnyRemote = isRemote(source) || isRemote(destination);
  const given = (isAnyRemote ? LOCAL_ONLY : REMOTE_ONLY).find(
    (name) => command.getOptionValueSourceWithGlobals(name) === "cli",
  );
  if (given === undefined) return;
  const flag = `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw isAnyRemote
    ? new P2pError("BAD_ARGUMENT", `${flag} is for copies within a machine`, {
        hint: "between machines --staging and --provider say where blocks rest on the way",
      })
    : new P2pError("BAD_ARGUMENT", `${flag} is for copies between machines`, {
        hint: "one end is then rdma://HOST[:PORT]/NAMESPACE, served by p2pmem serve",
      });
}

/** `source` or `destination` is of another machine. */
export async function remoteCopy(
  source: AnyEndpoint,
  destination: AnyEndpoint,
  options: RemoteCopyOptions,
): Promise<number> {
  const [local, remote] = (isRemote(source) ? [destination, source] : [source, destination]) as [
    Endpoint,
    RemoteEndpoint,
  ];
  const verify = parseVerify(options.verify);
  const key = options.keyFile === undefined ? undefined : readKeyFile(options.keyFile);
  const named = options.provider === undefined ? [] : [options.provider.device];
  return runJob(options, [local.device, ...named], async (job) => {
    const { session, output, signal } = job;
    const isNormal = options.outputFormat === "normal";
    const target = `to ${formatAnyEndpoint(destination)}`;
    if (isNormal)
      output.write(`${session.description}\n${formatAnyEndpoint(source)} ${target}\n\n`);
    const provider =
      options.provider === undefined
        ? undefined
        : await session.provider(formatProvider(options.provider));
    const machine = new SessionMachine(session, {
      nic: nicOf(options),
      // Who names a provider means to use it.
      staging: options.staging ?? (provider === undefined ? "auto" : "p2pmem"),
      ...(provider === undefined ? {} : { provider }),
      allowWrite: options.allowWrite ?? false,
    });
    const progress = new Progress(`copy ${target}`);
    const plan: RemoteCopyPlan = {
      ...{ local, remote, from: isRemote(source) ? "remote" : "local", verify, signal },
      ...{ bs: options.bs, iodepth: options.iodepth },
      ...{ timeoutMs: 1000 * options.peerTimeout, reconnectMs: 1000 * options.reconnect },
      ...(options.size === undefined ? {} : { size: options.size }),
      ...(key === undefined ? {} : { key }),
      ...(options.resume === undefined ? {} : { resume: options.resume }),
      onProgress: (bytes, total) => {
        progress.update(bytes, total);
      },
      onNote: (note) => {
        progress.end();
        process.stderr.write(`p2pmem: ${note}\n`);
      },
    };
    const run = await runRemoteCopy(machine, plan).finally(() => {
      progress.end();
    });
    // Ctrl-C while the server let go of the range came after the last confirmation.
    job.complete();
    const result = remoteCopyResult(plan, run);
    const report = {
      ...{ version: packageVersion(), platform: session.platform.kind, results: [result] },
    };
    if (!isNormal) for (const note of result.notes) process.stderr.write(`p2pmem: note: ${note}\n`);
    const format = { normal: remoteCopyText, json: remoteCopyJson, csv: remoteCopyCsv };
    output.write(format[options.outputFormat](report));
    return EXIT.ok;
  });
}

/** Between machines both ends compute CRC-32C of what they have, unless told not to. Errors: BAD_ARGUMENT. */
function parseVerify(mode: RemoteCopyOptions["verify"]): boolean {
  if (mode === undefined || mode === true || mode === "crc32c") return true;
  if (mode === "none") return false;
  throw new P2pError("BAD_ARGUMENT", `--verify=${mode} is for copies within a machine`, {
    hint: "between machines it is --verify=crc32c, which is the default, or --verify=none",
  });
}
