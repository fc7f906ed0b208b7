import { P2pError } from "../../errors.js";
import { parseEndpoint } from "../../io/endpoint.js";
import { isKernelEndpoint } from "../../kernel/endpoint.js";
import { parseProvider } from "../../p2pmem/provider-name.js";
import { isWildcard } from "./endpoints.js";
import type { BenchJob } from "./job.js";
import { PARAMETERS, type ParameterName } from "./parameters.js";

/**
 * Which parameters may be at fault where an error does not say so, by its code; of those the first that
 * the job says. Names of devices are at fault only where they name the error's device.
 */
const SUSPECTS: Readonly<Record<string, readonly ParameterName[]>> = {
  BAD_ENDPOINT: ["src", "dst"],
  BAD_RANGE: ["size", "offset", "src", "dst", "bs"],
  BAD_SIZE: ["bs"],
  METADATA_FORMAT: ["src", "dst"],
  NO_ABILITY: ["sq_in_cmb", "lists_in_cmb"],
  NO_DMABUF: ["provider", "path"],
  NO_GID: ["gid_index", "ib_port", "ib_dev"],
  NO_NAMESPACE: ["src", "dst"],
  NO_PORT: ["ib_port", "ib_dev"],
  NO_PROVIDER: ["provider", "path"],
  NO_QUEUE: ["numjobs"],
  NO_RDMA_DEVICE: ["path"],
  NO_ROOM: ["bs", "provider"],
  NO_VERBS: ["path"],
  NOT_NVME: ["src", "dst"],
  NOT_SUPPORTED: ["provider", "path"],
  OVERLAP: ["dst", "src", "size"],
  PORT_DOWN: ["ib_port", "ib_dev"],
  UNALIGNED: ["bs", "offset", "size"],
  UNKNOWN_DEVICE: ["ib_dev", "src", "dst", "provider"],
  UNSUPPORTED: ["descriptors", "path"],
  WRITE_NOT_ALLOWED: ["dst", "src", "rw"],
};

/**
 * What `attempt` gives. A mistake that only the machine shows keeps its code and says where the job
 * has it: file, line and field, as those that are found before.
 */
export async function blaming<T>(job: BenchJob, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    throw error instanceof P2pError ? located(job, error) : error;
  }
}

function located(job: BenchJob, error: P2pError): P2pError {
  const parameter = blamed(job, error);
  if (parameter === undefined) return error;
  const { code, errno, syscall, device, hint } = error;
  return new P2pError(code, job.mistake(parameter, error.message).message, {
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(device === undefined ? {} : { device }),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

function blamed(job: BenchJob, { code, device, parameter }: P2pError): ParameterName | undefined {
  if (parameter !== undefined && parameter in PARAMETERS) return parameter as ParameterName;
  const suspects = (SUSPECTS[code] ?? []).filter((name) => isInvolved(job, name, device));
  const said = suspects.find((name) => job.says(name));
  // Of a file the place of the job at least; nobody wrote what a built-in one says.
  return said ?? (job.file === null ? undefined : suspects[0]);
}

/** Unless it names devices, and others than this one. */
function isInvolved(job: BenchJob, name: ParameterName, device: string | undefined): boolean {
  if (device === undefined) return true;
  switch (name) {
    case "src":
      return job.src.flat().some((text) => isOf(text, device));
    case "dst":
      return job.dst.some((text) => isOf(text, device));
    case "ib_dev":
      return job.ibDev?.includes(device) ?? false;
    case "provider":
      return job.provider.some(
        (text) => text === "closest" || text === "all" || parseProvider(text).device === device,
      );
    default:
      return true;
  }
}

function isOf(text: string, device: string): boolean {
  return isWildcard(text) || (!isKernelEndpoint(text) && parseEndpoint(text).device === device);
}
