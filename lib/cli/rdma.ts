import { Argument, Option, type Command } from "commander";
import { P2pError } from "../errors.js";
import { PROVIDER_FORM } from "../p2pmem/provider-name.js";
import {
  ALL_SIZES,
  checkPlan,
  DEFAULT_PORT,
  defaultsOf,
  MEASURES,
  VERBS,
  type Measure,
  type RdmaPerfPlan,
  type Verb,
} from "../rdma-perf/plan.js";
import {
  parseCount,
  parseIndex,
  parseName,
  parsePositiveSize,
  parseSeconds,
  valueOption,
  type GlobalOptions,
} from "./options.js";
import { rdmaDevices } from "./rdma-devices.js";
import { withRdmaMachine } from "./rdma-machine.js";
import { MEMORY_FORM, parseMemory } from "./rdma-memory.js";
import { runRdmaTest, type RdmaOptions } from "./rdma-run.js";

const DESCRIPTIONS: Readonly<Record<Verb, string>> = {
  write: "write into the other side's memory",
  read: "read the other side's memory",
  send: "send messages that the other side receives",
};

export function addRdmaCommand(program: Command): void {
  const rdma = program
    .command("rdma")
    .description("measure RDMA between two machines, as perftest does, and show RDMA devices");
  for (const verb of VERBS) addTest(rdma, verb);
  rdma
    .command("devices")
    .description("show RDMA devices: ports, GIDs, what they can do and how much of it")
    .addHelpText(
      "after",
      `
Examples:
  p2pmem rdma devices
  p2pmem rdma devices --machine rdma --output-format json`,
    )
    .action(async (_options: unknown, command: Command) => {
      process.exitCode = await rdmaDevices(
        withRdmaMachine(command.optsWithGlobals<GlobalOptions>()),
      );
    });
}

function addTest(rdma: Command, verb: Verb): void {
  const [bandwidth, latency] = MEASURES.map((measure) => defaultsOf(verb, measure));
  const ofBoth = (of: (plan: RdmaPerfPlan) => number | null): string => {
    const [first, second] = [of(bandwidth!), of(latency!)];
    return first === second ? `default: ${first}` : `default: ${first}, lat ${second}`;
  };
  const command = rdma
    .command(verb)
    .description(`${DESCRIPTIONS[verb]}: bandwidth or latency, as ib_${verb}_bw and ib_${verb}_lat`)
    .addArgument(new Argument("<measure>", "what to measure").choices(MEASURES))
    .addArgument(new Argument("[host]", "the server; without it this side waits for a client"))
    .addOption(
      valueOption("-d, --ib-dev <name>", "RDMA device (default: the first that is up)", parseName),
    )
    .addOption(
      valueOption("-i, --ib-port <n>", "its port (default: the first that is up)", parseCount),
    )
    .addOption(
      valueOption("-x, --gid-index <n>", "its GID (default: RoCE v2, of IPv4)", parseIndex),
    )
    .addOption(
      valueOption(
        "-s, --size <size>",
        `bytes of a message (${ofBoth(({ sizes }) => sizes[0]!)})`,
        parsePositiveSize,
      ).conflicts("all"),
    )
    .option("-a, --all", "sizes from 2 to 8m, one after another")
    .addOption(
      valueOption(
        "-n, --iters <n>",
        `messages on each queue pair, 5 at least (${ofBoth(({ iterations }) => iterations)})`,
        parseCount,
      ).conflicts("duration"),
    )
    .addOption(
      valueOption(
        "-D, --duration <seconds>",
        "to run for in place of -n; a quarter at either end does not count",
        parseSeconds,
      ),
    )
    .addOption(valueOption("-q, --qp <n>", "queue pairs, of bw (default: 1)", parseCount))
    .addOption(
      valueOption(
        "-t, --tx-depth <n>",
        `requests in flight on each, of bw (default: ${bandwidth!.txDepth})`,
        parseCount,
      ),
    )
    .addOption(
      valueOption(
        "-Q, --cq-mod <n>",
        "a completion of each n-th, of bw (default: 100; above 8k, 1)",
        parseCount,
      ),
    )
    .addOption(valueOption("-m, --mtu <bytes>", "256 to 4096 (default: the ports')", parseCount));
  if (verb === "send")
    command.addOption(
      valueOption(
        "-r, --rx-depth <n>",
        `receives posted ahead (default: ${bandwidth!.rxDepth})`,
        parseCount,
      ),
    );
  if (verb !== "read")
    command
      .addOption(
        valueOption(
          "-I, --inline_size <bytes>",
          `messages up to that are sent inline (default: 0, lat ${verb === "write" ? 220 : 236})`,
          parseIndex,
        ),
      )
      .addOption(
        valueOption("--inline-size <bytes>", "the same", parseIndex)
          .conflicts("inline_size")
          .hideHelp(),
      );
  command
    .addOption(
      valueOption("-p, --port <n>", "TCP port of the server", parseTcpPort).default(DEFAULT_PORT),
    )
    .addOption(
      valueOption("--mr <memory>", `of the messages: ${MEMORY_FORM}`, parseMemory).default(
        { kind: "host" },
        "host",
      ),
    )
    .option("--report_gbits", "bandwidth in Gb/sec, not MiB/sec")
    .addOption(new Option("--report-gbits", "the same").hideHelp())
    .option(
      "--in-process",
      "both sides in this process; the default of a loopback machine by itself",
    )
    .addHelpText("after", helpOf(verb))
    .action(
      async (measure: Measure, host: string | undefined, _options: unknown, command: Command) => {
        const options = withRdmaMachine(command.optsWithGlobals<RdmaOptions>(), host);
        process.exitCode = await runRdmaTest(planOf(verb, measure, options), host, options);
      },
    );
}

function helpOf(verb: Verb): string {
  const latency = {
    write: "half of a round trip of two writes; the CPU looks at the memory, which is the host's",
    read: "a round trip, since a read is one",
    send: "half of a round trip of two messages",
  };
  return `
Options, defaults and columns are those of ib_${verb}_bw and ib_${verb}_lat. Both sides take the same.
Latency is ${latency[verb]}.
As in perftest the two longest are left out. With -n up to 20,000 messages go before, to warm up,
and do not count; of lat they are short.

--mr names the memory: host is pinned, odp on-demand paging, p2pmem the memory of the nearest
provider, or of the one that is named as ${PROVIDER_FORM};
dmabuf a dma-buf that the process was given as a file descriptor. Data in host memory is compared.

Examples:
  p2pmem rdma ${verb} bw --machine rdma
  p2pmem rdma ${verb} bw                  on one machine
  p2pmem rdma ${verb} bw 192.0.2.1        on the other
  p2pmem rdma ${verb} lat -d mlx5_0 -x 3 -a 192.0.2.1 --output-format json`;
}

/** Errors: BAD_ARGUMENT. */
function planOf(verb: Verb, measure: Measure, options: RdmaOptions): RdmaPerfPlan {
  const defaults = defaultsOf(verb, measure);
  const { all, size, iters, duration, qp, txDepth, cqMod } = options;
  if (measure === "lat")
    for (const [flag, value] of Object.entries({
      "--qp": qp,
      "--tx-depth": txDepth,
      "--cq-mod": cqMod,
    }))
      if (value !== undefined)
        throw new P2pError("BAD_ARGUMENT", `${flag} is for bw: lat has one message in flight`);
  const plan: RdmaPerfPlan = {
    ...defaults,
    sizes: all === true ? ALL_SIZES : [size ?? defaults.sizes[0]!],
    iterations: duration === undefined ? (iters ?? defaults.iterations) : null,
    duration: duration ?? null,
    queuePairs: qp ?? defaults.queuePairs,
    txDepth: txDepth ?? defaults.txDepth,
    rxDepth: options.rxDepth ?? defaults.rxDepth,
    cqMod: cqMod ?? null,
    mtu: options.mtu ?? null,
    inlineBytes: options.inline_size ?? options.inlineSize ?? null,
  };
  checkPlan(plan);
  return plan;
}

function parseTcpPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port < 65_536) return port;
  throw new P2pError("BAD_ARGUMENT", `"${text}" is not a TCP port`);
}
