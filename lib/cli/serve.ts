import { Argument, type Command } from "commander";
import { P2pError } from "../errors.js";
import { formatAnyEndpoint, SERVE_PORT } from "../io/endpoint.js";
import { EXPORT_FORM, exportsByName, parseExport, type Export } from "../remote/exports.js";
import { assertGuarded } from "../remote/guard.js";
import { readKeyFile } from "../remote/key-file.js";
import { SessionMachine } from "../remote/machine.js";
import { Server, type ServerEvent } from "../remote/server.js";
import { formatProvider, parseProvider, PROVIDER_FORM } from "../p2pmem/provider-name.js";
import type { ProviderSpec } from "../p2pmem/provider-name.js";
import type { Staging } from "../stream/plan.js";
import { formatSize } from "../units.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import { parseCount, parsePositiveSize, valueOption } from "./options.js";
import type { GlobalOptions } from "./options.js";
import {
  keyFileOption,
  nicOf,
  nicOptions,
  parseAddress,
  peerTimeoutOption,
  stagingOption,
  type Address,
  type NicFlags,
} from "./remote-options.js";

interface ServeOptions extends GlobalOptions, NicFlags {
  listen: Address;
  keyFile?: string;
  insecure?: boolean;
  maxConnections: number;
  maxIodepth: number;
  maxBs: number;
  staging: Staging;
  provider?: ProviderSpec;
  peerTimeout: number;
}

export function addServeCommand(program: Command): void {
  const command = program
    .command("serve")
    .description("let p2pmem copy on other machines read or write NVMe namespaces, by RDMA")
    .addArgument(
      new Argument("<namespace...>", EXPORT_FORM).argParser(
        (text, before: Export[] | undefined) => [...(before ?? []), parseExport(text)],
      ),
    )
    .addOption(
      valueOption("--listen <addr>", "ADDR[:PORT] of this machine; port 0: any", (text) =>
        parseAddress(text, SERVE_PORT),
      ).default(parseAddress("127.0.0.1", SERVE_PORT), `127.0.0.1:${SERVE_PORT}`),
    )
    .addOption(keyFileOption())
    .option("--insecure", "listen without a key, at an address that others reach")
    .addOption(
      valueOption("--max-connections <n>", "clients at the same time", parseCount).default(4),
    )
    .addOption(
      valueOption("--max-iodepth <n>", "blocks in flight, of each client", parseCount).default(128),
    )
    .addOption(
      valueOption("--max-bs <size>", "bytes in a client's block", parsePositiveSize).default(
        1 << 20,
        "1m",
      ),
    )
    .addOption(peerTimeoutOption())
    .addOption(stagingOption().default("auto"))
    .addOption(
      valueOption(
        "--provider <bdf>",
        `the peer memory to stage in, ${PROVIDER_FORM}`,
        parseProvider,
      ),
    );
  for (const option of nicOptions()) command.addOption(option);
  command
    .addHelpText(
      "after",
      `
Clients name what is served as rdma://HOST:PORT/NAME[@OFFSET[+LENGTH]]; NAME is BDF/NSID where none
is given. They may read it; with --allow-write they may write it, too.

The NIC stays with its kernel driver. Nothing is encrypted, neither what is said nor the data: use
networks that you trust. With --key-file only those get in who have the same key; it is needed for
addresses that other machines reach, unless you say --insecure. This makes a key:
(umask 077; head -c 32 /dev/urandom | base64 > key)

A copy of which nothing moves for 10 s longer than --timeout is ended. Give both sides the --timeout
of the slower NVMe device.

It writes a line for each range, and for each copy that begins and ends; with --output-format json
objects. It serves until Ctrl-C: copies are ended, once what they have in flight has finished, and
the exit code is 130.

Examples:
  p2pmem serve 0000:03:00.0
  p2pmem serve scratch=0000:03:00.0/1@1g+64g --allow-write --listen 192.0.2.7 --key-file key
  p2pmem serve 0000:03:00.0 --ib-dev rxe0 --staging host --max-connections 1`,
    )
    .action(async (exports: Export[], _options: unknown, command: Command) => {
      process.exitCode = await serve(exports, command.optsWithGlobals<ServeOptions>());
    });
}

async function serve(exports: Export[], options: ServeOptions): Promise<number> {
  const { listen, outputFormat, staging, maxConnections, maxIodepth, maxBs } = options;
  if (outputFormat === "csv")
    throw new P2pError("BAD_ARGUMENT", "serve has no output format csv", {
      hint: "it has normal and json: an object a line",
    });
  if (options.output !== undefined)
    throw new P2pError("BAD_ARGUMENT", "serve writes to standard output as it goes, to no file", {
      hint: "p2pmem serve ... > FILE",
    });
  exportsByName(exports);
  assertGuarded(listen.host, options.keyFile !== undefined, options.insecure === true);
  const key = options.keyFile === undefined ? undefined : readKeyFile(options.keyFile);
  const named = options.provider === undefined ? [] : [options.provider.device];
  const devices = [...exports.map(({ endpoint }) => endpoint.device), ...named];
  return runJob(options, devices, async ({ session, output, signal }) => {
    const isNormal = outputFormat === "normal";
    const write = (text: string, object: object): void => {
      output.write(`${isNormal ? text : JSON.stringify(object)}\n`);
    };
    const provider =
      options.provider === undefined
        ? undefined
        : await session.provider(formatProvider(options.provider));
    const machine = new SessionMachine(session, {
      ...{ nic: nicOf(options), staging, allowWrite: options.allowWrite ?? false },
      ...(provider === undefined ? {} : { provider }),
    });
    // What cannot be served is to be known now, not by the first client.
    const ranges = [];
    for (const { name, endpoint } of exports)
      ranges.push({ name, bytes: (await machine.range(endpoint)).bytes });
    session.rdmaDevice(options.ibDev);
    const server = await Server.listen({
      ...{ exports, machine, ...listen, maxConnections, maxIodepth, maxBs, signal },
      ...{ allowWrite: options.allowWrite ?? false, timeoutMs: 1000 * options.peerTimeout },
      ...(key === undefined ? {} : { key }),
      onEvent: (event) => {
        write(describe(event), event);
      },
    });
    try {
      if (isNormal) output.write(`${session.description}\n`);
      for (const { name, bytes } of ranges) {
        const { host } = listen;
        const url = formatAnyEndpoint({ host, port: server.port, namespace: name, offset: 0 });
        const access = options.allowWrite === true ? "read and written" : "read";
        write(`${url} (${formatSize(bytes)}) may be ${access}`, {
          ...{ event: "served", url, bytes, allow_write: options.allowWrite ?? false },
        });
      }
      await aborted(signal);
    } finally {
      await server.close();
    }
    return EXIT.interrupted;
  });
}

function describe({
  event,
  client,
  access,
  namespace,
  bytes,
  staging,
  error,
}: ServerEvent): string {
  if (access === null || namespace === null) return `${client}: ${error?.code}: ${error?.message}`;
  const way = `${access === "write" ? "into" : "out of"} ${namespace}`;
  if (event === "failed") return `${client}: ${way}: ${error?.code}: ${error?.message}`;
  if (event === "done") return `${client}: ${formatSize(bytes!)} ${way}: done`;
  return `${client}: ${formatSize(bytes!)} ${way}, staged in ${staging}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener("abort", () => {
        resolve();
      });
  });
}
