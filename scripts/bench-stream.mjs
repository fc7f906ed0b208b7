// npm run bench:stream: a stream from NVMe device to NVMe device by way of the loopback machine's NIC,
// both ends in this process, beside a copy between the same devices without one: through peer memory
// and through host memory, in turns in one run. `engine ns` is the time of this side's polling threads
// for each block, in the rounds that found something: of a copy one thread, of a stream one at each end.
// Both take turns with the device thread where there are fewer processors than that, and all data cross
// the wire by a copy of the device thread: bandwidth says little of hardware.
import { runCopy } from "../dist/copy/copy.js";
import { parseEndpoint } from "../dist/io/endpoint.js";
import { Session } from "../dist/session.js";
import { StreamEnd } from "../dist/stream/end.js";

const MEDIAN_OF = 5;
const [SOURCE, DESTINATION, CARD] = ["0000:03:00.0", "0000:04:00.0", "0000:05:00.0"];
const RUN = { runtime: 0.4, rampTime: 0.1 };
const RANGE = 64 << 20;

const session = await Session.open({ platform: "loopback", machine: "rdma" });
const provider = await session.provider(CARD);
const rdma = session.rdmaDevice();
const [source, destination] = [parseEndpoint(SOURCE), parseEndpoint(DESTINATION)];

async function copy(path, shape) {
  const plan = { ...RUN, ...shape, source, destination, path, provider, allowWrite: true };
  const { bytes, blocks, runtimeNs, cpu, traffic } = await runCopy(session, {
    ...plan,
    size: RANGE,
  });
  return { bytes, blocks, runtimeNs, engineNs: [cpu.busyNs], traffic };
}

async function stream(staging, shape) {
  const plan = { ...shape, staging, rdma, size: RANGE, allowWrite: true };
  if (staging === "p2pmem") plan.provider = provider;
  const from = await StreamEnd.open(session, {
    ...{ ...plan, ...RUN, role: "source", endpoint: source, port: 1 },
  });
  const to = await StreamEnd.open(session, {
    ...{ ...plan, role: "destination", endpoint: destination, port: 2 },
  });
  from.connect(to.offer);
  to.connect(from.offer);
  const ends = await Promise.all([from.run(), to.run()]);
  await from.close();
  await to.close();
  const [{ bytes, blocks, runtimeNs, traffic }] = ends;
  return { bytes, blocks, runtimeNs, engineNs: ends.map(({ cpu }) => cpu.busyNs), traffic };
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const kinds = [
  ["copy p2p", (shape) => copy("p2p", shape)],
  ["stream p2pmem", (shape) => stream("p2pmem", shape)],
  ["copy host", (shape) => copy("host", shape)],
  ["stream host", (shape) => stream("host", shape)],
];

const results = [];
for (const bs of [4 << 10, 128 << 10]) {
  const runs = kinds.map(() => []);
  for (let round = 0; round < MEDIAN_OF; round++)
    for (const [kind, [, run]] of kinds.entries()) runs[kind].push(await run({ bs, iodepth: 32 }));
  for (const [kind, [name]] of kinds.entries()) {
    const of = (figure) => median(runs[kind].map(figure));
    results.push({
      ...{ bs, name },
      blocksPerSecond: Math.round(of(({ blocks, runtimeNs }) => (blocks * 1e9) / runtimeNs)),
      bytesPerSecond: Math.round(of(({ bytes, runtimeNs }) => (bytes * 1e9) / runtimeNs)),
      engineNsPerBlock: runs[kind][0].engineNs.map((_, end) =>
        Math.round(of(({ engineNs, blocks }) => engineNs[end] / blocks)),
      ),
      hostBytesPerByte: of(({ traffic, bytes }) => traffic.host_memory_bytes / bytes),
    });
  }
}
await session.close();

if (process.argv.includes("--json")) console.log(JSON.stringify(results));
else {
  console.log(`Loopback machine, NVMe to NVMe, 32 blocks in flight, Node ${process.versions.node}`);
  console.log("   bs  path               GB/s  blocks/s  engine ns a block  host bytes a byte");
  for (const { bs, name, ...figures } of results) {
    const rate = (figures.bytesPerSecond / 1e9).toFixed(2).padStart(6);
    const blocks = String(figures.blocksPerSecond).padStart(9);
    const engine = figures.engineNsPerBlock.join(" + ").padStart(18);
    console.log(
      `${String(bs >> 10).padStart(4)}k  ${name.padEnd(15)} ${rate} ${blocks} ${engine} ${String(figures.hostBytesPerByte).padStart(18)}`,
    );
  }
}
