import type { LimitedCopyResult } from "../bench/limited-copy.js";
import type {
  ControllerIdentity,
  NamespaceDescriptors,
  NamespaceIdentity,
} from "../nvme/admin/identify.js";
import type { RegisterValue } from "../nvme/register-fields.js";
import type { Bdf } from "../pci/bdf.js";
import type { Platform } from "../platform.js";

/** What `copy` writes. */
export interface CopyReport {
  version: string;
  platform: Platform["kind"];
  results: LimitedCopyResult[];
}

/** What `list` writes. Unknown is null. */
export interface DeviceReport {
  version: string;
  platform: Platform["kind"];
  controllers: ControllerReport[];
  providers: ProviderReport[];
}

export interface ControllerReport {
  address: Bdf;
  driver: string | null;
  iommu_group: number | null;
  model: string | null;
  serial: string | null;
  firmware: string | null;
  /** Bytes that one command may move. */
  mdts_bytes: number | null;
  namespaces: { nsid: number; bytes: number; block_bytes: number }[];
  /** Why nothing more is known. */
  error: { code: string; message: string; hint: string | null } | null;
}

export interface ProviderReport {
  /** `0000:03:00.0/cmb` */
  name: string;
  device: Bdf;
  bytes: number;
  /** See ProviderRange.abilities. */
  abilities: readonly string[] | null;
  /** It keeps what it holds without power: a PMR. */
  persistent: boolean;
}

/** What `identify` writes: about a controller, a namespace, or registers. */
export interface IdentifyReport {
  version: string;
  platform: Platform["kind"];
  address: Bdf;
  controller?: ControllerIdentity;
  namespaces?: { nsid: number; bytes: number; block_bytes: number; metadata_bytes: number }[];
  namespace?: NamespaceReport;
  registers?: RegisterValue[];
}

export interface NamespaceReport {
  nsid: number;
  identity: NamespaceIdentity;
  /** Null where the controller is too old for them. */
  descriptors: NamespaceDescriptors | null;
}

/** What is to be said of the results, each note once. */
export function notesOf(results: readonly LimitedCopyResult[]): string[] {
  return [...new Set(results.flatMap(({ notes }) => notes))];
}
