// What a provider and a client are to each other, for all pairs of a machine with 512 endpoints, below
// switches of two levels, with redirect on at some ports and host bridges to be looked up.
import { peerPath } from "../../dist/pci/peer-path.js";
import { PciTree } from "../../dist/pci/tree.js";
// Made by the builder of the tests' machines, so that the registers are true ones.
import { parseMachine, rawTopology } from "../../dist-test/support/topology.js";

const ROUNDS = 9;
const HOST_BRIDGES = 4;
/** Root ports of a host bridge, second-level switches below each, and endpoints below each of these. */
const [ROOT_PORTS, SWITCHES, ENDPOINTS] = [4, 4, 8];
/** All 262,144 pairs in 100 ms. */
const TARGET_NS = 380;

const hex = (value) => value.toString(16).padStart(2, "0");

function describeMachine() {
  const lines = ["cpu GenuineIntel 6"];
  const add = (depth, text) => lines.push("  ".repeat(depth) + text);
  for (let host = 0; host < HOST_BRIDGES; host++) {
    // A domain for each host bridge: 256 buses are too few.
    const name = `pci${host.toString(16).padStart(4, "0")}:00`;
    lines.push(`host ${name}`);
    add(1, "00:00.0 integrated 8086:09a2 system");
    let bus = 1;
    for (let port = 0; port < ROOT_PORTS; port++) {
      add(1, `00:${hex(port + 1)}.0 root 8086:347a x16@16 acs=on`);
      add(2, `${hex(bus++)}:00.0 up 11f8:4000 x16@16`);
      const middle = bus++;
      for (let below = 0; below < SWITCHES; below++) {
        add(
          3,
          `${hex(middle)}:${hex(below)}.0 down 11f8:4000 x8@16 acs=${below === 0 ? "on" : "off"}`,
        );
        add(4, `${hex(bus++)}:00.0 up 11f8:4000 x8@16`);
        const lower = bus++;
        for (let slot = 0; slot < ENDPOINTS; slot++) {
          add(
            5,
            `${hex(lower)}:${hex(slot)}.0 down 11f8:4000 x4@16 acs=${slot < 2 ? "on" : "off"}`,
          );
          add(6, `${hex(bus++)}:00.0 endpoint 144d:a80c nvme x4@16`);
        }
      }
    }
  }
  return rawTopology(parseMachine(lines.join("\n")));
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/**
 * Nanoseconds of CPU time that `work` takes, the garbage collector's included; the median of some rounds
 * after two that warm up. A round is long enough for other programs to cut in, which is not its cost.
 */
function time(work) {
  const spent = [];
  for (let round = -2; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    if (round >= 0) spent.push((user + system) * 1000);
  }
  return median(spent);
}

export const title = "all pairs of 512 endpoints: a pair's distance, map types, routes, bottleneck";

export function run() {
  const raw = describeMachine();
  const tree = new PciTree(raw);
  const endpoints = tree.functions.filter((fn) => fn.isNvme);
  const pairs = endpoints.length ** 2;
  // The sum of what came back keeps the work from being optimised away.
  let sum = 0;
  const matrix = time(() => {
    for (const provider of endpoints)
      for (const client of endpoints) {
        const path = peerPath(tree, provider, client);
        sum += path.distance + path.kernel.mapType.length + path.vfio.mapType.length;
        sum += path.route.length + path.completionRoute.length + (path.bottleneck?.bandwidth ?? 0);
      }
  });
  const some = endpoints.filter((_, index) => index % 16 === 0);
  const reasons = time(() => {
    for (const provider of some)
      for (const client of some) {
        const { kernel, vfio } = peerPath(tree, provider, client);
        sum += kernel.reason.length + vfio.reason.length;
      }
  });
  const parsing = time(() => (sum += new PciTree(raw).functions.length));
  if (endpoints.length !== 512 || !(sum > 0)) throw new Error("the machine is not the one meant");
  return {
    "a pair": { ns: matrix / pairs, target: TARGET_NS },
    "a pair, with its reasons": { ns: reasons / some.length ** 2 },
    "a function, read": { ns: parsing / raw.functions.length },
  };
}
