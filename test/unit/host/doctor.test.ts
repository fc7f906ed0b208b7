import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { NativeAddon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import type { Check, CheckFunction } from "#lib/host/doctor/check.js";
import { examine } from "#lib/host/doctor/doctor.js";
import { checkIommu, checkIommuGroups, checkIommuMode } from "#lib/host/doctor/iommu.js";
import {
  checkDmaBufExport,
  checkIommufd,
  checkKernelLog,
  checkLockdown,
  checkP2pdma,
} from "#lib/host/doctor/kernel.js";
import { checkHugepages, checkMemlock } from "#lib/host/doctor/memory.js";
import { checkRdmaDevices, checkVerbs } from "#lib/host/doctor/rdma.js";
import { checkAddon, checkNode, compareVersions } from "#lib/host/doctor/software.js";
import { checkAcs } from "#lib/host/doctor/topology.js";
import {
  checkDmaEntryLimit,
  checkInterruptRemapping,
  checkNoIommuMode,
  checkVfioContainer,
  checkVfioDevices,
  checkVfioModules,
} from "#lib/host/doctor/vfio.js";
import type { FakeHost } from "../../support/fake-host.js";
import { addSwitch, healthyHost, POOL, RDMA, RELEASE, TYPE1 } from "../../support/healthy-host.js";

/** As if its module were not loaded. */
function withoutModule(host: FakeHost, name: string): void {
  host.removeTree(`/sys/module/${name}`);
}

/** The lists that depmod(8) makes, of a kernel that has no modules. */
function listModules(host: FakeHost): void {
  for (const kind of ["builtin", "dep"]) host.file(`/lib/modules/${RELEASE}/modules.${kind}`, "");
}

/** What libibverbs lists, or how it fails. */
function withVerbs(host: FakeHost, found: string[] | P2pError): void {
  const verbsDevices = (): string[] => {
    if (found instanceof P2pError) throw found;
    return found;
  };
  host.nativeAddon = () => ({ verbsDevices }) as unknown as NativeAddon;
}

const REDIRECTING = 0x1d; // as the kernel sets it: SV, RR, CR, UF

describe("p2pmem doctor's checks", () => {
  let host: FakeHost;

  beforeEach(() => {
    host = healthyHost();
  });

  afterEach(() => {
    host.destroy();
  });

  it("all pass on a machine on which nothing is wrong, with evidence and nothing to mend", () => {
    const checks = examine(host);
    for (const { name, status, evidence, fix } of checks) {
      assert.equal(status, "pass", `${name}: ${evidence}`);
      assert.ok(evidence.length > 0);
      assert.equal(fix, null);
    }
    assert.equal(new Set(checks.map(({ name }) => name)).size, 22);
  });

  interface Sickness {
    check: CheckFunction;
    /** What is wrong. */
    title: string;
    break: (host: FakeHost) => void;
    status: Check["status"];
    evidence?: RegExp;
    fix: RegExp | null;
  }

  const sicknesses: Sickness[] = [
    {
      ...{ check: checkNode, title: "an old Node.js" },
      break: (host) => (host.facts.nodeVersion = "20.9.0"),
      ...{ status: "fail", evidence: /20\.9\.0/, fix: /^install Node\.js 20\.19 or later$/ },
    },
    {
      ...{ check: checkAddon, title: "an addon that does not load" },
      break: (host) =>
        (host.nativeAddon = () => {
          throw new P2pError("ADDON_MISSING", "it has not been built", { hint: "run this" });
        }),
      ...{ status: "fail", evidence: /not been built/, fix: /^run this$/ },
    },
    {
      ...{ check: checkIommu, title: "no IOMMU, on Intel" },
      break: (host) => {
        host.removeTree("/sys/kernel/iommu_groups");
        host.removeTree("/sys/class/iommu");
        host.file("/proc/cmdline", "quiet\n");
      },
      ...{ status: "fail", evidence: /0 groups; .*no iommu parameter/ },
      fix: /VT-d .*add intel_iommu=on to the kernel command line .*reboot$/,
    },
    {
      ...{ check: checkIommu, title: "no IOMMU, on Intel, although the kernel was asked" },
      break: (host) => host.removeTree("/sys/kernel/iommu_groups"),
      ...{ status: "fail", evidence: /intel_iommu=on/ },
      fix: /^switch VT-d on in the firmware setup$/,
    },
    {
      ...{ check: checkIommu, title: "no IOMMU, on AMD" },
      break: (host) => {
        host.removeTree("/sys/kernel/iommu_groups");
        host.file("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
        host.file("/proc/cmdline", "quiet\n");
      },
      ...{ status: "fail", fix: /^switch the IOMMU \(AMD-Vi\) on in the firmware setup$/ },
    },
    {
      ...{ check: checkIommu, title: "an IOMMU that the kernel was told to leave off" },
      break: (host) => {
        host.removeTree("/sys/kernel/iommu_groups");
        host.file("/proc/cmdline", "quiet amd_iommu=off iommu=pt\n");
      },
      ...{ status: "fail", evidence: /amd_iommu=off iommu=pt/ },
      fix: /^take amd_iommu=off off the kernel command line/,
    },
    {
      ...{ check: checkIommu, title: "no IOMMU, in a virtual machine" },
      break: (host) => {
        host.removeTree("/sys/kernel/iommu_groups");
        host.file("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t\t: fpu hypervisor lahf\n");
      },
      ...{ status: "fail", fix: /^give this virtual machine an IOMMU/ },
    },
    {
      ...{ check: checkIommu, title: "the groups of no-IOMMU mode alone" },
      break: (host) => {
        host.removeTree("/sys/kernel/iommu_groups");
        host.file("/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
      },
      ...{ status: "fail", evidence: /0 groups/, fix: /./ },
    },
    {
      ...{ check: checkIommuMode, title: "no groups to ask for their mode" },
      break: (host) => host.removeTree("/sys/kernel/iommu_groups"),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkIommuMode, title: "(nothing:) passthrough for some groups" },
      break: (host) => host.file("/sys/kernel/iommu_groups/1/type", "identity\n"),
      ...{
        status: "pass",
        evidence: /^passthrough for 1 of 4 groups \(identity, DMA-FQ\)/,
        fix: null,
      },
    },
    {
      ...{ check: checkIommuGroups, title: "no groups" },
      break: (host) => host.removeTree("/sys/kernel/iommu_groups"),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkIommuGroups, title: "(nothing:) a group of several endpoints" },
      break: (host) => host.pciFunction({ address: "0000:03:00.1", iommuGroup: 3 }),
      ...{ status: "pass", evidence: /: 3 \(0000:03:00\.0, 0000:03:00\.1\)$/, fix: null },
    },
    {
      ...{ check: checkIommuGroups, title: "a group that VFIO has only a part of" },
      break: (host) => host.pciFunction({ address: "0000:03:00.1", iommuGroup: 3, driver: "nvme" }),
      ...{ status: "fail", fix: /^sudo p2pmem bind --group 0000:03:00\.0$/ },
    },
    {
      ...{ check: checkVfioModules, title: "modules that are not loaded" },
      break: (host) => {
        host.removeTree("/sys/module/vfio_pci");
        host.file(`/lib/modules/${RELEASE}/modules.builtin`, "");
        host.file(
          `/lib/modules/${RELEASE}/modules.dep`,
          "kernel/drivers/vfio/pci/vfio-pci.ko.xz: x\n",
        );
      },
      ...{ status: "warn", evidence: /vfio_pci not loaded/, fix: /^sudo modprobe --all vfio_pci$/ },
    },
    {
      ...{ check: checkVfioModules, title: "modules that are not there" },
      break: (host) => {
        withoutModule(host, "vfio_pci");
        listModules(host);
      },
      ...{ status: "fail", evidence: /vfio_pci missing/, fix: /CONFIG_VFIO_IOMMU_TYPE1/ },
    },
    {
      ...{ check: checkVfioModules, title: "(nothing:) no type1, where the container works" },
      break: (host) => {
        withoutModule(host, "vfio_iommu_type1");
        listModules(host);
      },
      ...{ status: "pass", evidence: /type1 missing.*\/dev\/vfio\/vfio works$/, fix: null },
    },
    {
      ...{ check: checkVfioModules, title: "no type1, and a container that does not work" },
      break: (host) => {
        withoutModule(host, "vfio_iommu_type1");
        listModules(host);
        host.refusals.set("/dev/vfio/vfio", "EACCES");
      },
      ...{ status: "fail", evidence: /type1 missing/, fix: /CONFIG_VFIO_IOMMU_TYPE1/ },
    },
    {
      ...{ check: checkVfioModules, title: "(nothing:) modules of which nothing is written" },
      break: (host) => withoutModule(host, "vfio_pci"),
      ...{ status: "pass", evidence: /vfio_pci unknown/, fix: null },
    },
    {
      ...{ check: checkVfioModules, title: "modules of which nothing is written or works" },
      break: (host) => {
        withoutModule(host, "vfio_pci");
        host.refusals.set("/dev/vfio/vfio", "EACCES");
      },
      ...{ status: "skip", evidence: /vfio_pci unknown: no lists/, fix: null },
    },
    {
      ...{ check: checkVfioModules, title: "(nothing:) modules that are built in" },
      break: (host) => {
        host.removeTree("/sys/module/vfio");
        host.file(`/lib/modules/${RELEASE}/modules.builtin`, "kernel/drivers/vfio/vfio.ko\n");
      },
      ...{ status: "pass", evidence: /vfio built in/, fix: null },
    },
    {
      ...{ check: checkVfioContainer, title: "VFIO that is not loaded" },
      break: (host) => {
        host.removeTree("/sys/module/vfio");
        host.file(`/lib/modules/${RELEASE}/modules.dep`, "kernel/drivers/vfio/vfio.ko:\n");
      },
      ...{ status: "fail", fix: /^sudo modprobe vfio-pci$/ },
    },
    {
      ...{ check: checkVfioContainer, title: "a container that this user may not open" },
      break: (host) => host.refusals.set("/dev/vfio/vfio", "EACCES"),
      ...{ status: "fail", fix: /^sudo chmod 0666 \/dev\/vfio\/vfio$/ },
    },
    {
      ...{ check: checkVfioContainer, title: "VFIO without type1" },
      break: (host) =>
        (host.nativeAddon = () =>
          ({
            openVfioAddressSpace: () => {
              throw new P2pError("NO_VFIO", "no type1", { hint: "modprobe vfio_iommu_type1" });
            },
          }) as unknown as NativeAddon),
      ...{ status: "fail", evidence: /no type1/, fix: /^modprobe vfio_iommu_type1$/ },
    },
    {
      ...{ check: checkVfioDevices, title: "no device of VFIO's" },
      break: (host) => host.removeTree("/sys/bus/pci/devices"),
      ...{ status: "warn", fix: /p2pmem bind/ },
    },
    {
      ...{ check: checkVfioDevices, title: "a group that this user may not open" },
      break: (host) => host.refusals.set("/dev/vfio/3", "EACCES"),
      ...{ status: "warn", evidence: /^cannot be opened: \/dev\/vfio\/3 \(EACCES\)$/ },
      fix: /^sudo p2pmem bind --user \$\(id -un\) 0000:03:00\.0$/,
    },
    {
      ...{ check: checkVfioDevices, title: "groups of which this user may open none" },
      break: (host) => {
        for (const group of [3, 4]) host.refusals.set(`/dev/vfio/${group}`, "EACCES");
      },
      ...{ status: "fail", fix: /^sudo p2pmem bind --user \S+ \S+ 0000:03:00\.0 0000:04:00\.0$/ },
    },
    {
      ...{ check: checkVfioDevices, title: "a group that was given to another user" },
      break: (host) => {
        host.refusals.set("/dev/vfio/3", "EACCES");
        host.owners.set("/dev/vfio/3", 107);
      },
      ...{ status: "warn", evidence: /EACCES, belongs to user 107/, fix: /^use other devices/ },
    },
    {
      ...{ check: checkVfioDevices, title: "(nothing:) a device of no-IOMMU mode" },
      break: (host) => {
        host.file("/sys/kernel/iommu_groups/3/name", "vfio-noiommu\n");
        host.remove("/dev/vfio/3");
        host.file("/dev/vfio/noiommu-3", "");
      },
      ...{ status: "pass", evidence: /\/dev\/vfio\/noiommu-3/, fix: null },
    },
    {
      ...{ check: checkNoIommuMode, title: "no-IOMMU mode" },
      break: (host) => host.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n"),
      ...{
        status: "warn",
        fix: /^echo N \| sudo tee \/sys\/module\/vfio\/parameters\/enable_unsafe/,
      },
    },
    {
      ...{ check: checkInterruptRemapping, title: "interrupts that need not be isolated" },
      break: (host) => host.file(`${TYPE1}/allow_unsafe_interrupts`, "Y\n"),
      status: "warn",
      fix: /^echo N \| sudo tee \/sys\/module\/vfio_iommu_type1\/parameters\/allow/,
    },
    {
      ...{ check: checkInterruptRemapping, title: "interrupts that are not remapped" },
      break: (host) => host.file("/proc/interrupts", "  1:  0  IO-APIC    1-edge  i8042\n"),
      ...{ status: "fail", evidence: /^off: no IR- chip/, fix: /echo Y \| sudo tee \/sys/ },
    },
    {
      ...{ check: checkInterruptRemapping, title: "interrupts that are not and need not be" },
      break: (host) => {
        host.file("/proc/interrupts", "  1:  0  IO-APIC    1-edge  i8042\n");
        host.file(`${TYPE1}/allow_unsafe_interrupts`, "Y\n");
      },
      ...{ status: "warn", fix: /^switch interrupt remapping .* on/ },
    },
    {
      ...{ check: checkInterruptRemapping, title: "a processor that names its chips otherwise" },
      break: (host) => host.file("/proc/cpuinfo", "CPU implementer\t: 0x41\n"),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkInterruptRemapping, title: "type1 that is not loaded" },
      break: (host) => host.removeTree(TYPE1),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkDmaEntryLimit, title: "few mappings" },
      break: (host) => host.file(`${TYPE1}/dma_entry_limit`, "100\n"),
      ...{ status: "warn", evidence: /^100 / },
      fix: /^echo 65535 \| sudo tee \/sys\/module\/vfio_iommu_type1\/parameters\/dma_entry_limit$/,
    },
    {
      ...{ check: checkDmaEntryLimit, title: "type1 that is not loaded" },
      break: (host) => host.removeTree(TYPE1),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkHugepages, title: "hugepages that are all taken" },
      break: (host) => host.file(`${POOL}/free_hugepages`, "0\n"),
      ...{ status: "warn", evidence: /^0 of 32 pages/ },
      fix: /^echo 96 \| sudo tee \/sys\/kernel\/mm\/hugepages\/hugepages-2048kB\/nr_hugepages$/,
    },
    {
      ...{ check: checkHugepages, title: "a kernel without hugepages" },
      break: (host) => host.removeTree(POOL),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkMemlock, title: "a low limit of locked memory" },
      break: (host) =>
        host.file("/proc/self/limits", "Max locked memory  8388608  8388608  bytes\n"),
      ...{ status: "warn", evidence: /^8 MiB/, fix: /memlock unlimited/ },
    },
    {
      ...{ check: checkMemlock, title: "(nothing:) a low limit that CAP_IPC_LOCK lifts" },
      break: (host) => {
        host.file("/proc/self/limits", "Max locked memory  65536  65536  bytes\n");
        host.file("/proc/self/status", "CapEff:\t0000000000004000\n");
      },
      ...{ status: "pass", evidence: /CAP_IPC_LOCK/, fix: null },
    },
    {
      ...{ check: checkAcs, title: "ports that redirect" },
      break: (host) => addSwitch(host, REDIRECTING),
      ...{ status: "warn", evidence: /^0000:02:00\.0, 0000:02:01\.0 redirect/ },
      fix: /add "pci=disable_acs_redir=0000:02:00\.0;0000:02:01\.0" to the kernel command line/,
    },
    {
      ...{ check: checkAcs, title: "configuration space cut short" },
      break: (host) => {
        addSwitch(host, REDIRECTING, 64);
        host.facts.uid = 1000;
      },
      ...{ status: "skip", fix: /^run as root$/ },
    },
    {
      ...{ check: checkAcs, title: "a machine that gives root no extended space either" },
      break: (host) => addSwitch(host, REDIRECTING, 256),
      ...{ status: "skip", evidence: /no extended .* 0000:02:00\.0/, fix: null },
    },
    {
      ...{ check: checkAcs, title: "no two devices below a switch" },
      break: (host) => {
        host.write("/sys/bus/pci/devices/0000:04:00.0/driver/unbind", "0000:04:00.0");
      },
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkIommufd, title: "an iommufd that is not loaded" },
      break: (host) => host.remove("/dev/iommu"),
      ...{ status: "warn", fix: /^sudo modprobe iommufd$/ },
    },
    {
      ...{ check: checkIommufd, title: "a kernel without iommufd" },
      break: (host) => {
        host.remove("/dev/iommu");
        host.file(`/boot/config-${RELEASE}`, "CONFIG_VFIO=m\n# CONFIG_IOMMUFD is not set\n");
      },
      ...{ status: "warn", fix: /CONFIG_IOMMUFD/ },
    },
    {
      ...{ check: checkIommufd, title: "an iommufd whose file is not there" },
      break: (host) => {
        host.remove("/dev/iommu");
        host.file(`/boot/config-${RELEASE}`, "CONFIG_IOMMUFD=y\n");
      },
      ...{ status: "warn", evidence: /^no .*container\?$/, fix: /^give it \/dev\/iommu$/ },
    },
    {
      ...{ check: checkIommufd, title: "an iommufd that this user may not open" },
      break: (host) => host.refusals.set("/dev/iommu", "EACCES"),
      ...{ status: "warn", fix: /^sudo chown "\$\(id -un\)" \/dev\/iommu$/ },
    },
    {
      ...{ check: checkDmaBufExport, title: "an old kernel" },
      break: (host) => (host.facts.kernelRelease = "6.12.41+deb13-amd64"),
      ...{ status: "warn", evidence: /6\.12\.41/, fix: /6\.19 or later/ },
    },
    {
      ...{ check: checkDmaBufExport, title: "a kernel without dma-buf export" },
      break: (host) => host.file(`/boot/config-${RELEASE}`, "CONFIG_VFIO=m\n"),
      ...{ status: "warn", fix: /CONFIG_VFIO_PCI_DMABUF/ },
    },
    {
      ...{ check: checkDmaBufExport, title: "a kernel of unknown configuration" },
      break: (host) => host.removeTree("/boot"),
      ...{ status: "skip", evidence: /neither in/, fix: null },
    },
    {
      ...{
        check: checkDmaBufExport,
        title: "(nothing:) a configuration that the kernel itself has",
      },
      break: (host) => {
        host.removeTree("/boot");
        host.file("/proc/config.gz", gzipSync("CONFIG_VFIO_PCI_DMABUF=y\n"));
      },
      ...{ status: "pass", fix: null },
    },
    {
      ...{ check: checkP2pdma, title: "a kernel without p2pdma" },
      break: (host) => host.file(`/boot/config-${RELEASE}`, "CONFIG_VFIO=m\n"),
      ...{ status: "warn", fix: /CONFIG_PCI_P2PDMA/ },
    },
    {
      ...{ check: checkP2pdma, title: "(nothing:) an unknown configuration beside a provider" },
      break: (host) => {
        host.removeTree("/boot");
        host.directory("/sys/bus/pci/devices/0000:03:00.0/p2pmem");
      },
      ...{ status: "pass", evidence: /0000:03:00\.0/, fix: null },
    },
    {
      ...{ check: checkKernelLog, title: "a log that only root may read" },
      break: (host) => host.refusals.set("/dev/kmsg", "EPERM"),
      ...{ status: "warn", evidence: /EPERM/, fix: /^sudo sysctl kernel\.dmesg_restrict=0$/ },
    },
    {
      ...{ check: checkVerbs, title: "an RDMA device without libibverbs" },
      break: (host) => withVerbs(host, new P2pError("NO_VERBS", "no", { hint: "apt-get it" })),
      ...{ status: "warn", evidence: /^no$/, fix: /^apt-get it$/ },
    },
    {
      ...{ check: checkVerbs, title: "neither RDMA devices nor libibverbs" },
      break: (host) => {
        host.removeTree(RDMA);
        withVerbs(host, new P2pError("NO_VERBS", "no", { hint: "apt-get it" }));
      },
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkVerbs, title: "an RDMA device that libibverbs has no driver for" },
      break: (host) => withVerbs(host, []),
      ...{ status: "warn", evidence: /mlx5_0/, fix: /ibverbs-providers/ },
    },
    {
      ...{ check: checkVerbs, title: "ib_uverbs not loaded" },
      break: (host) => {
        host.removeTree("/sys/class/infiniband_verbs");
        withVerbs(host, []);
      },
      ...{ status: "warn", evidence: /ib_uverbs/, fix: /^sudo modprobe ib_uverbs$/ },
    },
    {
      ...{ check: checkRdmaDevices, title: "no RDMA device" },
      break: (host) => host.removeTree(RDMA),
      ...{ status: "skip", fix: null },
    },
    {
      ...{ check: checkRdmaDevices, title: "an RDMA device without a link" },
      break: (host) => host.file(`${RDMA}/mlx5_0/ports/1/state`, "1: DOWN\n"),
      ...{ status: "warn", evidence: /^mlx5_0 port 1 down$/, fix: /rdma link/ },
    },
    {
      ...{ check: checkRdmaDevices, title: "an RDMA device that this user may not open" },
      break: (host) => host.refusals.set("/dev/infiniband/uverbs0", "EACCES"),
      ...{
        status: "warn",
        evidence: /EACCES/,
        fix: /^sudo chmod 0666 \/dev\/infiniband\/uverbs0$/,
      },
    },
    {
      ...{ check: checkLockdown, title: "lockdown" },
      break: (host) =>
        host.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
      ...{
        status: "warn",
        evidence: /^integrity: forbids setpci.*; not VFIO$/,
        fix: /Secure Boot/,
      },
    },
    {
      ...{ check: checkLockdown, title: "a kernel that does not say" },
      break: (host) => host.removeTree("/sys/kernel/security"),
      ...{ status: "skip", fix: null },
    },
  ];

  for (const { check, title, status, evidence, fix, ...sickness } of sicknesses)
    it(`${check.name}: ${status}: ${title}`, () => {
      assert.equal(check(host, host.pci()).status, "pass", "before");
      sickness.break(host);
      const result = check(host, host.pci());
      assert.equal(result.status, status, result.evidence);
      if (evidence !== undefined) assert.match(result.evidence, evidence);
      if (fix === null) assert.equal(result.fix, null);
      else assert.match(result.fix ?? "", fix);
    });

  it("say the rest where one function cannot be read", () => {
    const before = examine(host);
    host.file("/sys/bus/pci/devices/0000:03:00.0/resource", "no numbers\n");
    const after = examine(host);
    assert.deepEqual(
      after.map(({ name }) => name),
      before.map(({ name }) => name),
    );
    assert.deepEqual(
      after.flatMap(({ name, status }) => (status === "pass" ? [] : [`${name} ${status}`])),
      ["pci fail", "iommu-groups skip", "vfio-devices skip", "acs skip"],
    );
  });

  it("compare versions by number, not by letter", () => {
    assert.ok(compareVersions("20.9.0", "20.19") < 0);
    assert.ok(compareVersions("7.0.0-rc1", "6.19") > 0);
    assert.equal(compareVersions("6.19+deb13-amd64", "6.19"), 0);
    assert.ok(compareVersions("6.19", "6.19.1") < 0);
  });
});
