// The virtual server: QEMU's arguments, and where in it each device sits.

/**
 * The devices that the guest hands to vfio-pci, by the variable that names them inside.
 *
 * `path` is where the device sits: the device and function number at each level from the root bus
 * down. Bus numbers are the firmware's to give; these are ours. NVME_CMB, NVME1 and CARD are below one
 * switch; NVME2 has a root port of its own, so a copy to it crosses the root complex.
 */
export const DEVICES = {
  NVME_CMB: { path: "10.0/00.0/00.0/00.0", port: "down0", image: "nvme-cmb.img" },
  NVME1: { path: "10.0/00.0/01.0/00.0", port: "down1", image: "nvme1.img" },
  CARD: { path: "10.0/00.0/02.0/00.0", port: "down2" },
  NVME2: { path: "11.0/00.0", port: "root1", image: "nvme2.img" },
};

const PORTS = [
  "pcie-root-port,id=root0,bus=pcie.0,addr=10.0,chassis=1,slot=1",
  "pcie-root-port,id=root1,bus=pcie.0,addr=11.0,chassis=1,slot=2",
  "x3130-upstream,id=up0,bus=root0,addr=00.0",
  "xio3130-downstream,id=down0,bus=up0,addr=00.0,chassis=2,slot=1",
  "xio3130-downstream,id=down1,bus=up0,addr=01.0,chassis=2,slot=2",
  "xio3130-downstream,id=down2,bus=up0,addr=02.0,chassis=2,slot=3",
];

const SERIALS = { NVME_CMB: "p2pmem-cmb", NVME1: "p2pmem-nvme1", NVME2: "p2pmem-nvme2" };
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

/** QEMU takes a comma inside a value doubled. */
const value = (text) => text.replaceAll(",", ",,");

function nvme(name, directory) {
  const { port, image } = DEVICES[name];
  const id = name.toLowerCase();
  const memory = { NVME_CMB: `,cmb_size_mb=${CMB_MIB}`, NVME2: ",pmrdev=pmr" }[name] ?? "";
  return [
    // The image outlives the machine, not the host: flushing it to the disk would only cost time.
    ...[
      "-drive",
      `file=${value(`${directory}/${image}`)},format=raw,if=none,id=${id}-disk,cache=unsafe`,
    ],
    ...["-device", `nvme,id=${id},serial=${SERIALS[name]},bus=${port},addr=00.0${memory}`],
    // A namespace of its own: the controller's older drive= property leaves Copy without limits.
    ...["-device", `nvme-ns,drive=${id}-disk,bus=${id},nsid=1`],
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
export function platformArguments({ accel, kernel, initramfs, parameters }) {
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-M", "q35,kernel-irqchip=split", "-cpu", "max", "-smp", "2", "-m", "2560M"],
    ...["-accel", accel === "tcg" ? "tcg,thread=multi" : accel],
    ...["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"],
    ...["-kernel", kernel.image, "-initrd", initramfs],
    "-append",
    [
      // A panic ends QEMU (with -no-reboot); the log is wide enough for a storm of IOMMU faults.
      "console=ttyS0 quiet panic=-1 log_buf_len=4M intel_iommu=on",
      // Software emulation has nothing to mitigate, and its clock needs no watching.
      "mitigations=off nowatchdog tsc=reliable random.trust_cpu=on",
      ...parameters,
    ].join(" "),
  ];
}

/** The whole machine. `console` is QEMU's chardev for the serial console. */
export function machineArguments({ images, shareDirectory, outDirectory, console, ...platform }) {
  const parameters = Object.entries(DEVICES).map(([name, { path }]) => `lab_${name}=${path}`);
  return [
    ...platformArguments({ ...platform, parameters }),
    ...["-chardev", console, "-serial", "chardev:console"],
    ...PORTS.flatMap((port) => ["-device", port]),
    ...["-object", "rng-builtin,id=rng0"],
    ...PAIR.flatMap((fn) => ["-device", fn]),
    ...["-object", `memory-backend-ram,id=pmr,size=${PMR_MIB}M,share=on`],
    ...nvme("NVME_CMB", images),
    ...nvme("NVME1", images),
    ...nvme("NVME2", images),
    ...["-object", `memory-backend-ram,id=card-memory,size=${CARD_MIB}M,share=on`],
    ...["-device", `ivshmem-plain,id=card,memdev=card-memory,bus=${DEVICES.CARD.port},addr=00.0`],
    ...share("lab-root", "/", true),
    ...share("lab-share", shareDirectory, false),
    ...share("lab-out", outDirectory, false),
  ];
}

/** The image files of the NVMe namespaces. */
export const IMAGES = Object.values(DEVICES).flatMap(({ image }) => image ?? []);
