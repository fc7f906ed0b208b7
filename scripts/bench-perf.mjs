// npm run bench:perf: p2pmem perf on VFIO beside fio on the kernel's NVMe driver (io_uring, fixed buffers
// and files, interrupts), 4 KiB random reads of the same controller in the same virtual server, round by
// round. Software emulation is slow and noisy: only the ratios of one run mean something.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = fileURLToPath(import.meta.url);
const DEPTHS = [1, 32];
const RAMP = 0.5;

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
  },
});

function run(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error ?? stderr}`);
  return stdout;
}

/** Gives the function to a driver, and waits until it has it. */
function bind(address, driver) {
  const device = `/sys/bus/pci/devices/${address}`;
  if (existsSync(`${device}/driver`)) writeFileSync(`${device}/driver/unbind`, address);
  writeFileSync(`${device}/driver_override`, driver);
  writeFileSync("/sys/bus/pci/drivers_probe", address);
}

/** The block device of a controller's first namespace, once the kernel has it. */
function blockDevice(address) {
  const nvme = `/sys/bus/pci/devices/${address}/nvme`;
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    const [controller] = existsSync(nvme) ? readdirSync(nvme) : [];
    const name =
      controller && readdirSync(`${nvme}/${controller}`).find((n) => /^nvme\d+n1$/.test(n));
    if (name && existsSync(`/dev/${name}`) && readFileSync(`/sys/block/${name}/size`, "utf8") > 0)
      return `/dev/${name}`;
  }
  throw new Error(`the kernel shows no namespace of ${address}`);
}

function fio(file, depth) {
  const output = run(
    "fio",
    ...[
      "--name=perf",
      `--filename=${file}`,
      "--readonly",
      "--rw=randread",
      "--bs=4k",
      "--direct=1",
    ],
    ...["--ioengine=io_uring", "--fixedbufs", "--registerfiles", `--iodepth=${depth}`],
    ...[
      "--time_based",
      `--runtime=${values.seconds}`,
      `--ramp_time=${RAMP}`,
      "--output-format=json",
    ],
  );
  const { read } = JSON.parse(output.slice(output.indexOf("{"))).jobs[0];
  return { iops: read.iops, mean_ns: read.clat_ns.mean + read.slat_ns.mean };
}

function perf(address, depth) {
  const output = run(
    process.execPath,
    ...[
      `${root}/dist/cli/main.js`,
      "perf",
      address,
      "-q",
      `${depth}`,
      "-o",
      "4k",
      "-w",
      "randread",
    ],
    ...["-t", values.seconds, "-a", `${RAMP}`, "--output-format", "json"],
  );
  const { total } = JSON.parse(output);
  return { iops: total.iops, mean_ns: total.lat_ns.mean };
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Inside the lab. */
function measure() {
  const address = process.env.NVME1;
  run("modprobe", "nvme");
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    bind(address, "nvme");
    const file = blockDevice(address);
    const kernel = DEPTHS.map((depth) => fio(file, depth));
    bind(address, "vfio-pci");
    const p2pmem = DEPTHS.map((depth) => perf(address, depth));
    rounds.push({ kernel, p2pmem });
  }
  return DEPTHS.map((depth, i) => {
    const of = (who) => rounds.map((round) => Math.round(round[who][i].iops));
    const [fioMedian, p2pmemMedian] = [median(of("kernel")), median(of("p2pmem"))];
    return {
      depth,
      fio_iops: of("kernel"),
      p2pmem_iops: of("p2pmem"),
      fio_median: fioMedian,
      p2pmem_median: p2pmemMedian,
      ratio: Number((p2pmemMedian / fioMedian).toFixed(2)),
    };
  });
}

if (process.env.P2PMEM_LAB !== "1") {
  const inLab = [`${root}/scripts/lab.mjs`, process.execPath, script, ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, inLab, { stdio: "inherit" }).status ?? 1;
} else {
  const results = measure();
  if (values.json) console.log(JSON.stringify(results));
  else {
    console.log("4 KiB random reads, IOPS (medians): fio on io_uring, p2pmem perf on VFIO");
    console.log("depth       fio    p2pmem   ratio");
    for (const { depth, fio_median, p2pmem_median, ratio } of results)
      console.log(
        [String(depth).padStart(5), String(fio_median).padStart(10)].join("") +
          String(p2pmem_median).padStart(10) +
          `${ratio.toFixed(2)}x`.padStart(8),
      );
  }
}
