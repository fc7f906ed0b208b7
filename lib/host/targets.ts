import type { Condition } from "./condition.js";
import type { DeviceNumber, Host } from "./host.js";
import type { KernelDevice } from "./kernel-devices.js";
import { STAT, statLine } from "./processes.js";

/** A kernel module that gives disks to other hosts, as configfs shows it. */
interface Target {
  readonly name: string;
  readonly module: string;
  readonly configuration: string;
  /** Directories of exports, as a shell's pattern below the configuration. */
  readonly exports: readonly string[];
  /** The attribute that names the device; the one that switches it on is `enable`. */
  readonly attribute: string;
}

const CONFIGFS = "/sys/kernel/config";

const TARGETS: readonly Target[] = [
  {
    // linux/drivers/nvme/target/configfs.c; it opens its disks without a holder (io-cmd-bdev.c).
    ...{ name: "the NVMe-oF target", module: "nvmet", configuration: `${CONFIGFS}/nvmet` },
    exports: ["subsystems/*/namespaces/*", "subsystems/*/passthru"],
    attribute: "device_path",
  },
  {
    // linux/drivers/target/target_core_configfs.c
    ...{ name: "the SCSI target", module: "target_core_mod", configuration: `${CONFIGFS}/target` },
    exports: ["core/*/*"],
    attribute: "udev_path",
  },
];

/** That the kernel gives none of these devices to other hosts. */
export function targetConditions(host: Host, devices: readonly KernelDevice[]): Condition[] {
  const exportable = devices.filter(({ subsystem }) => ["block", "nvme"].includes(subsystem));
  if (exportable.length === 0) return [];
  return TARGETS.filter(({ module }) => host.exists(`/sys/module/${module}`)).flatMap((target) => [
    visibleCondition(host, target),
    ...exportable.flatMap((device) => exportCondition(host, target, device)),
  ]);
}

function visibleCondition(host: Host, { name, module, configuration }: Target): Condition {
  return {
    shell: `[ ! -e /sys/module/${module} -o -e ${configuration} ]`,
    violation: host.exists(configuration)
      ? null
      : `whether ${name} exports it cannot be seen: ${module} is loaded, but there is no ` +
        `${configuration} (sudo mount -t configfs none ${CONFIGFS})`,
  };
}

function exportCondition(
  host: Host,
  { name, configuration, exports, attribute }: Target,
  { file, number }: KernelDevice,
): Condition[] {
  if (number === null) return [];
  const folders = exports.map((pattern) => `${configuration}/${pattern}`);
  const found = folders
    .flatMap((pattern) => expand(host, pattern))
    .find((folder) => isExported(host, folder, attribute, { file, number }));
  const enabled = folders.map((folder) => `${folder}/enable`).join(" ");
  return [
    {
      shell:
        `! grep -lsx 1 ${enabled} | sed 's/enable$/${attribute}/' | xargs -r cat | ` +
        `xargs -r ${STAT} 2>/dev/null | grep -q '${statLine(number)}'`,
      violation: found === undefined ? null : `${file ?? number} is exported by ${name} (${found})`,
    },
  ];
}

/** By the device's number: the path may be a link, such as those of /dev/disk. */
function isExported(
  host: Host,
  folder: string,
  attribute: string,
  { file, number }: { file: string | null; number: DeviceNumber },
): boolean {
  const path = host.read(`${folder}/${attribute}`);
  if (path === null || host.read(`${folder}/enable`) !== "1") return false;
  return path === file || host.deviceNumber(path) === number;
}

/** The directories that a pattern stands for; `*` stands for a whole name. */
function expand(host: Host, pattern: string): string[] {
  const [first = "", ...rest] = pattern.split("/*");
  return rest.reduce(
    (folders, below) =>
      folders.flatMap((folder) =>
        host.directories(folder).map((name) => `${folder}/${name}${below}`),
      ),
    [first],
  );
}
