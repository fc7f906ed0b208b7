// The virtual server: QEMU's arguments, and where in it each device sits.

/**
 * The devices that the guest hands to vfio-pci, by the variable that names them inside.
 *
 * `path` is where the device sits: the device and function number at each level from the root bus
 * down. Bus numbers are the firmware's to give; these are ours. NVME_CMB, NVME1 and CARD are below one
 * switch; NVME2 has a root port of its own, so a copy to it crosses the root complex.
 */
export const DEVICES = {
  NVME_CMB: { path: "10.0/00.0/00.0/00.0", port: "down0", namespaces: ["nvme-cmb"] },
  NVME1: {
    path: "10.0/00.0/01.0/00.0",
    port: "down1",
    namespaces: ["nvme1", "nvme1-4k", "nvme1-metadata"],
  },
  CARD: { path: "10.0/00.0/02.0/00.0", port: "down2", namespaces: [] },
  NVME2: { path: "11.0/00.0", port: "root1", namespaces: ["nvme2"] },
};

/** Formats of the namespaces that do not have plain blocks of 512 bytes. */
const FORMATS = {
  "nvme1-4k": ",logical_block_size=4096,physical_block_size=4096",
  "nvme1-metadata": ",ms=8",
};

const PORTS = [
  "pcie-root-port,id=root0,bus=pcie.0,addr=10.0,chassis=1,slot=1",
  "pcie-root-port,id=root1,bus=pcie.0,addr=11.0,chassis=1,slot=2",
  "x3130-upstream,id=up0,bus=root0,addr=00.0",
  "xio3130-downstream,id=down0,bus=up0,addr=00.0,chassis=2,slot=1",
  "xio3130-downstream,id=down1,bus=up0,addr=01.0,chassis=2,slot=2",
  "xio3130-downstream,id=down2,bus=up0,addr=02.0,chassis=2,slot=3",
];

/**
 * Without protection keys: Linux sets their register whenever a kernel thread takes turns with a process,
 * and QEMU's software emulation then forgets all the addresses that it has translated.
 */
const CPU = "max,pku=off";

const DEFAULT = { memory: { NVME_CMB: "cmb", NVME2: "pmr" }, cpu: CPU, parameters: [] };
const P2PDMA = {
  memory: { NVME_CMB: "cmb", NVME1: "cmb", NVME2: "cmb" },
  // By name: with KVM "max" is the host's processor, which may be one that forwards.
  cpu: `${CPU},vendor=GenuineIntel,family=6`,
  parameters: ["iommu=pt"],
  hasNvmePair: true,
};
const NO_ROOT_PORT_REDIRECT = "pci=disable_acs_redir=pci:1b36:000c";

/**
 * Variants of the machine, for --machine. `legacy-cmb`: the CMB is one of before NVMe 1.4, which answers
 * at its bus address and no other. `p2pdma`: what kernel drivers make of such devices. Each NVMe
 * controller has a CMB, and there are two more, functions of one device below the switch, on a port that
 * redirects: QEMU's root port, which it takes there, since the switch's own ports have no ACS. The IOMMU
 * lets kernel drivers' requests pass, as it must for QEMU to find the peer. `p2pdma-direct`: no port
 * redirects. `p2pdma-amd`: a processor whose root complex is known to forward.
 */
export const MACHINES = {
  default: DEFAULT,
  "legacy-cmb": { ...DEFAULT, memory: { ...DEFAULT.memory, NVME_CMB: "legacyCmb" } },
  p2pdma: P2PDMA,
  "p2pdma-direct": { ...P2PDMA, parameters: [...P2PDMA.parameters, NO_ROOT_PORT_REDIRECT] },
  "p2pdma-amd": { ...P2PDMA, cpu: `${CPU},vendor=AuthenticAMD,family=23` },
};

const CMB_MIB = 64;
const PMR_MIB = 64;
const CARD_MIB = 256;

/**
 * Two functions of one device, hence of one IOMMU group, each with a driver of its own to be had: a
 * group that is not viable once only one of them is VFIO's.
 */
const PAIR = [
  "virtio-rng-pci,rng=rng0,bus=pcie.0,addr=12.0,multifunction=on",
  "edu,bus=pcie.0,addr=12.1",
];

const PAIR_NAMESPACES = ["nvme-pair0", "nvme-pair1"];

/** QEMU takes a comma inside a value doubled. */
const value = (text) => text.replaceAll(",", ",,");

const MEMORY = {
  cmb: `,cmb_size_mb=${CMB_MIB}`,
  legacyCmb: `,cmb_size_mb=${CMB_MIB},legacy-cmb=on`,
  pmr: ",pmrdev=pmr",
};

const imageOf = (namespace) => `${namespace}.img`;

/** A controller and its namespaces; `place` is QEMU's for a PCI function, `memory` its CMB or PMR. */
function nvme(id, images, namespaces, place, memory) {
  return [
    ...["-device", `nvme,id=${id},serial=p2pmem-${id},${place}${MEMORY[memory] ?? ""}`],
    ...namespaces.flatMap((name, index) => [
      "-drive",
      // The images outlive the machine, not the host: flushing them to the disk would only cost time.
      `file=${value(`${images}/${imageOf(name)}`)},format=raw,if=none,id=${name},cache=unsafe`,
      "-device",
      // Devices of their own: the controller's older drive= property leaves Copy without limits.
      `nvme-ns,drive=${name},bus=${id},nsid=${index + 1}${FORMATS[name] ?? ""}`,
    ]),
  ];
}

/** The controllers of the variant `machine`, in the order in which Linux finds them. */
function controllers({ memory, hasNvmePair }, images) {
  const named = ["NVME_CMB", "NVME1", "NVME2"].flatMap((name) => {
    const { port, namespaces } = DEVICES[name];
    const id = name.replace("NVME_", "").toLowerCase();
    return nvme(id, images, namespaces, `bus=${port},addr=00.0`, memory[name]);
  });
  if (!hasNvmePair) return named;
  return [
    ...named,
    ...["-device", "pcie-root-port,id=root2,bus=up0,addr=03.0,chassis=2,slot=4"],
    ...PAIR_NAMESPACES.flatMap((name, fn) =>
      nvme(`pair${fn}`, images, [name], `bus=root2,addr=00.${fn},multifunction=on`, "cmb"),
    ),
  ];
}

function share(tag, path, readonly) {
  const access = readonly ? ",readonly=on" : "";
  return [
    "-fsdev",
    // The host's tree spans file systems: remap keeps their inode numbers apart.
    `local,id=${tag},path=${value(path)},security_model=none,multidevs=remap${access}`,
    "-device",
    `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
  ];
}

/** The platform alone: processor, memory, IOMMU, kernel. */
export function platformArguments({ accel, kernel, initramfs, parameters, cpu = "max" }) {
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-M", "q35,kernel-irqchip=split", "-cpu", cpu, "-smp", "2", "-m", "2560M"],
    ...["-accel", accel === "tcg" ? "tcg,thread=multi" : accel],
    ...["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"],
    ...["-kernel", kernel.image, "-initrd", initramfs],
    "-append",
    [
      // A panic ends QEMU (with -no-reboot); the log is wide enough for a storm of IOMMU faults.
      "console=ttyS0 quiet panic=-1 log_buf_len=4M intel_iommu=on",
      // Software emulation has nothing to mitigate, and its clock needs no watching.
      "mitigations=off nowatchdog tsc=reliable random.trust_cpu=on",
      // Nor does its timer need trying: the kernel gives that ten ticks of time, in which it wants to
      // see five, and panics on a busy host that let QEMU deliver fewer (io_apic.c, timer_irq_works).
      "no_timer_check",
      ...parameters,
    ].join(" "),
  ];
}

/**
 * The whole machine, as its variant `machine`. `console` is QEMU's chardev for the serial console,
 * `monitor` the path of its QMP socket.
 */
export function machineArguments({
  machine,
  images,
  shareDirectory,
  outDirectory,
  console,
  monitor,
  ...platform
}) {
  const { cpu, parameters } = MACHINES[machine];
  const places = Object.entries(DEVICES).map(([name, { path }]) => `lab_${name}=${path}`);
  return [
    ...platformArguments({ ...platform, cpu, parameters: [...parameters, ...places] }),
    ...["-chardev", console, "-serial", "chardev:console"],
    ...["-qmp", `unix:${value(monitor)},server=on,wait=off`],
    ...PORTS.flatMap((port) => ["-device", port]),
    ...["-object", "rng-builtin,id=rng0"],
    ...PAIR.flatMap((fn) => ["-device", fn]),
    ...["-object", `memory-backend-ram,id=pmr,size=${PMR_MIB}M,share=on`],
    ...controllers(MACHINES[machine], images),
    ...["-object", `memory-backend-ram,id=card-memory,size=${CARD_MIB}M,share=on`],
    ...["-device", `ivshmem-plain,id=card,memdev=card-memory,bus=${DEVICES.CARD.port},addr=00.0`],
    ...share("lab-root", "/", true),
    ...share("lab-share", shareDirectory, false),
    ...share("lab-out", outDirectory, false),
  ];
}

/** The image files of the NVMe namespaces of a variant. */
export function imagesOf(machine) {
  const named = Object.values(DEVICES).flatMap(({ namespaces }) => namespaces);
  return (MACHINES[machine].hasNvmePair ? [...named, ...PAIR_NAMESPACES] : named).map(imageOf);
}
