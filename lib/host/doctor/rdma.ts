import { P2pError } from "../../errors.js";
import { counted } from "../../units.js";
import type { Host } from "../host.js";
import { type Check, results } from "./check.js";

const DEVICES = "/sys/class/infiniband";
const USER_DEVICES = "/sys/class/infiniband_verbs";

/** The library that RDMA devices are driven by; copies between devices of one machine do without. */
export function checkVerbs(host: Host): Check {
  const { pass, warn, skip } = results("libibverbs");
  const devices = host.list(DEVICES);
  let known: string[];
  try {
    known = host.addon().verbsDevices();
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    // One without devices needs no library.
    if (devices.length === 0) return skip("no RDMA device, and no libibverbs");
    return warn(error.message, error.hint ?? "sudo modprobe ib_uverbs");
  }
  const strange = devices.filter((name) => !known.includes(name));
  if (strange.length === 0)
    return pass(`it loads, and has drivers for ${counted(known.length, "RDMA device")}`);
  const evidence = `it loads, but has no driver for ${strange.join(", ")}`;
  return host.list(USER_DEVICES).length === 0
    ? warn(`${evidence}: ib_uverbs is not loaded`, "sudo modprobe ib_uverbs")
    : warn(evidence, "install rdma-core's drivers (Debian: apt-get install ibverbs-providers)");
}

/** Which RDMA devices this user may open, and whether their ports have a link. */
export function checkRdmaDevices(host: Host): Check {
  const { pass, warn, skip } = results("rdma-devices");
  const devices = host.list(DEVICES);
  if (devices.length === 0) return skip(`none in ${DEVICES}`);
  const ports = devices.flatMap((device) =>
    host.list(`${DEVICES}/${device}/ports`).map((port) => ({
      name: `${device} port ${port}`,
      // `4: ACTIVE`
      state: (host.read(`${DEVICES}/${device}/ports/${port}/state`) ?? "unknown")
        .replace(/^\d+: /, "")
        .toLowerCase(),
    })),
  );
  const evidence = ports.map(({ name, state }) => `${name} ${state}`).join(", ");
  const closed = host.list(USER_DEVICES).flatMap((name) => {
    const file = `/dev/infiniband/${name}`;
    const problem = name.startsWith("uverbs") ? host.accessProblem(file) : null;
    return problem === null ? [] : [{ file, problem }];
  });
  if (closed.length > 0) {
    const reasons = closed.map(({ file, problem }) => `${file} (${problem})`).join(", ");
    const files = closed.map(({ file }) => file).join(" ");
    return warn(`${evidence}; may not be opened: ${reasons}`, `sudo chmod 0666 ${files}`);
  }
  return ports.some(({ state }) => state === "active")
    ? pass(evidence)
    : warn(evidence, "connect a port, or set its network interface up: rdma link, ip link");
}
