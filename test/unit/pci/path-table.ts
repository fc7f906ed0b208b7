/**
 * What the rules say of pairs in test/fixtures/topology, worked out by hand from the rules, never from
 * what the code answers. One line for each pair:
 *
 *     provider client | distance kernel vfio route completions | whose reason: a part of it
 *
 * BUS: by bus address; HOST: through the host bridge; HOST?: the same, to be proved; NO: not supported;
 * ?: not known. Kernel and VFIO part wherever redirect is on at a port that has no choice.
 */
export interface Group {
  machine: string;
  /** What is written differently in the machine's description. */
  but?: Readonly<Record<string, string>>;
  rows: string;
}

const ACS_ON = { "acs=off": "acs=on" };
const NO_IOMMU = { "cpu ": "iommu off\ncpu " };
const CUT = { "cpu ": "cut\ncpu " };

export const TABLE: readonly Group[] = [
  {
    machine: "desktop",
    rows: `
      01:00.0 01:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own
      # Root port 00:01.0 is the common bridge, so the kernel counts its redirect. Where the ways part
      # is the card itself, whose functions have no ACS.
      01:00.0 01:00.1 | 2 NO BUS? unstated unstated | kernel: 0000:00:01.0 redirects requests and completions (ACS Request Redirect, Completion Redirect); host bridge pci0000:00 (8086:a700) is not known to forward
      01:00.1 01:00.0 | 2 NO BUS? unstated unstated | vfio: 0000:01:00.0 and 0000:01:00.1 are of one device, and no ACS redirect of theirs says that it hands packets over; VFIO does not check that: p2pmem probe shows it
      # The root port as provider: it is the common bridge itself, one hop from the card.
      00:01.0 01:00.0 | 1 NO BUS direct direct | kernel: 0000:00:01.0 redirects
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: no bridge is above both; host bridge pci0000:00 (8086:a700) is not known to forward
      02:00.0 01:00.1 | 4 NO HOST? root root | vfio: VFIO does not check that: p2pmem probe shows it
      01:00.0 03:00.0 | 4 NO HOST? root root | vfio: pci0000:00 (8086:a700)
      # Integrated: on the root bus, one function on its way.
      02:00.0 00:02.0 | 3 NO HOST? root root | route: the root complex is between them
      00:02.0 00:00.0 | 2 NO HOST? root root | kernel: 8086:a700
      # A conventional bus below a bridge.
      05:00.0 05:01.0 | 2 BUS BUS direct direct | kernel: 0000:04:00.0 is above both
      04:00.0 05:00.0 | 1 BUS BUS direct direct | kernel: nothing up to there redirects
      05:00.0 01:00.0 | 5 NO HOST? root root | kernel: is not known to forward
      06:00.0 05:01.0 | 5 NO HOST? root root | kernel: is not known to forward
      02:00.0 06:00.0 | 4 NO HOST? root root | kernel: is not known to forward`,
  },
  {
    machine: "desktop",
    but: { "acs=on": "acs=off" },
    rows: `
      01:00.0 01:00.1 | 2 BUS BUS? unstated unstated | kernel: 0000:00:01.0 is above both, and nothing up to there redirects
      00:01.0 01:00.0 | 1 BUS BUS direct direct | kernel: nothing up to there redirects
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: is not known to forward`,
  },
  {
    machine: "desktop",
    but: NO_IOMMU,
    rows: `
      01:00.0 01:00.0 | 0 BUS NO internal internal | vfio: 0000:01:00.0 has no IOMMU group: turn the IOMMU on
      05:00.0 05:01.0 | 2 BUS NO direct direct | vfio: 0000:05:01.0 has no IOMMU group
      01:00.0 02:00.0 | 4 NO NO root root | vfio: 0000:02:00.0 has no IOMMU group`,
  },
  {
    machine: "desktop",
    but: { "cpu GenuineIntel 6": "cpu - 0" },
    rows: `
      # The processor might be one that forwards.
      01:00.0 02:00.0 | 4 ? HOST? root root | kernel: (8086:a700) is not known to forward, and the processor is not known
      01:00.0 01:00.1 | 2 ? BUS? unstated unstated | kernel: 0000:00:01.0 redirects
      05:00.0 05:01.0 | 2 BUS BUS direct direct | kernel: 0000:04:00.0 is above both`,
  },
  {
    machine: "skylake",
    rows: `
      19:00.0 19:00.0 | 0 BUS BUS internal internal | route: without leaving the device
      19:00.0 1a:00.0 | 4 BUS BUS direct direct | kernel: 0000:17:00.0 is above both, and nothing up to there redirects
      1a:00.0 19:00.0 | 4 BUS BUS direct direct | route: 0000:17:00.0 is above both, and neither way below it redirects
      1b:00.0 1b:00.1 | 2 BUS BUS? unstated unstated | kernel: 0000:18:02.0 is above both
      19:00.0 1b:00.0 | 4 BUS BUS direct direct | vfio: 0000:17:00.0 is above both
      # Two hops on one side; 1e, 1d, 1c and 18:03.0 on the other.
      19:00.0 1e:00.0 | 6 BUS BUS direct direct | kernel: 0000:17:00.0 is above both
      1f:00.0 1b:00.1 | 6 BUS BUS direct direct | kernel: 0000:17:00.0 is above both
      1e:00.0 1f:00.0 | 4 BUS BUS direct direct | kernel: 0000:1c:00.0 is above both
      # The DMA engine is beside the upstream port: they meet at the root port.
      17:00.1 19:00.0 | 4 BUS BUS? unstated unstated | kernel: 0000:16:00.0 is above both
      19:00.0 17:00.1 | 4 BUS BUS? unstated unstated | kernel: 0000:16:00.0 is above both
      17:00.0 17:00.1 | 2 BUS BUS? unstated unstated | kernel: 0000:16:00.0 is above both
      17:00.0 19:00.0 | 2 BUS BUS direct direct | kernel: 0000:17:00.0 is above both
      # 19, 18, 17, 16 and 20, 16: four and two functions up to the root ports.
      19:00.0 20:00.0 | 6 HOST HOST root root | kernel: no bridge is above both; host bridge pci0000:16 (8086:2030, Intel Skylake-E) is on the kernel's list
      20:00.0 65:00.0 | 4 HOST HOST root root | kernel: host bridges pci0000:16 (8086:2030, Intel Skylake-E) and pci0000:64 (8086:2030, Intel Skylake-E) are on the kernel's list
      65:00.0 86:00.0 | 4 HOST HOST root root | vfio: are on the kernel's list
      1e:00.0 86:00.0 | 8 HOST HOST root root | kernel: are on the kernel's list
      01:00.0 19:00.0 | 6 HOST HOST root root | kernel: pci0000:00 (8086:2020, Intel Skylake-E)
      65:00.0 00:04.0 | 3 HOST HOST root root | kernel: are on the kernel's list
      # First on bus 80 is no root, whatever the root port behind it is.
      81:00.0 86:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:80 is not known to forward: 0000:80:04.0 is first on its bus, neither device 00.0 nor a root port
      86:00.0 81:00.0 | 4 NO HOST? root root | kernel: 0000:80:04.0 is first on its bus
      80:04.0 81:00.0 | 3 NO HOST? root root | vfio: 0000:80:04.0 is first on its bus
      80:04.0 80:08.0 | 2 NO HOST? root root | kernel: host bridge pci0000:80 is not known
      81:00.0 81:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
  {
    machine: "skylake",
    but: ACS_ON,
    rows: `
      19:00.0 19:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own
      19:00.0 1a:00.0 | 4 HOST HOST root root | kernel: 0000:18:00.0 redirects requests and completions (ACS Request Redirect, Completion Redirect); 0000:18:01.0 redirects
      1a:00.0 19:00.0 | 4 HOST HOST root root | vfio: 0000:18:00.0 redirects requests (ACS Request Redirect); 0000:18:01.0 redirects completions (ACS Completion Redirect) unless the client marks its reads as Relaxed Ordering; host bridge pci0000:16
      # The port above both functions redirects, but they part below it.
      1b:00.0 1b:00.1 | 2 HOST BUS? unstated unstated | kernel: 0000:18:02.0 redirects
      19:00.0 1e:00.0 | 6 HOST HOST root root | route: 0000:18:03.0 redirects requests
      1e:00.0 1f:00.0 | 4 HOST HOST root root | route: 0000:1d:01.0 redirects requests
      # They part at the switch's own device: 18:00.0 can only send up.
      17:00.1 19:00.0 | 4 HOST BUS? unstated unstated | kernel: 0000:16:00.0 redirects
      # The upstream port as provider or client: only the other's way has a port that chooses.
      17:00.0 19:00.0 | 2 HOST HOST root direct | route: 0000:18:00.0 redirects requests (ACS Request Redirect)
      19:00.0 17:00.0 | 2 HOST HOST direct root | route: 0000:18:00.0 redirects completions (ACS Completion Redirect)
      81:00.0 86:00.0 | 4 NO HOST? root root | kernel: 0000:80:04.0 is first on its bus
      19:00.0 20:00.0 | 6 HOST HOST root root | kernel: no bridge is above both`,
  },
  {
    machine: "skylake",
    but: CUT,
    rows: `
      # The kernel counts the function's own ACS as well; the route has no need of it.
      19:00.0 19:00.0 | 0 ? BUS internal internal | kernel: whether 0000:19:00.0 redirects is not known: its configuration space was cut short (run as root)
      19:00.0 1a:00.0 | 4 ? ?? unknown unknown | vfio: whether 0000:18:01.0 redirects is not known
      1b:00.0 1b:00.1 | 2 ? ?? unknown unknown | route: whether 0000:1b:00.1 redirects is not known
      17:00.0 19:00.0 | 2 ? ?? unknown direct | route: whether 0000:18:00.0 redirects is not known
      19:00.0 17:00.0 | 2 ? ?? direct unknown | route: whether 0000:18:00.0 redirects is not known
      # Without a common bridge no redirect matters, and device 00.0 needs no capability.
      19:00.0 20:00.0 | 6 HOST HOST root root | kernel: is on the kernel's list
      20:00.0 65:00.0 | 4 HOST HOST root root | kernel: are on the kernel's list
      # 8086:2021 would not be on the list as a root port either.
      81:00.0 86:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:80 (8086:2021) is not known to forward`,
  },
  {
    machine: "epyc",
    rows: `
      43:00.0 44:00.0 | 4 BUS BUS direct direct | kernel: 0000:41:00.0 is above both
      45:00.0 43:00.0 | 4 BUS BUS direct direct | kernel: 0000:41:00.0 is above both
      # The management function meets its switch's devices at the root port, which redirects.
      43:00.0 41:00.1 | 4 HOST BUS? unstated unstated | kernel: 0000:40:01.1 redirects requests and completions (ACS Request Redirect, Completion Redirect); AuthenticAMD family 19h forwards
      41:00.1 43:00.0 | 4 HOST BUS? unstated unstated | vfio: 0000:41:00.0 and 0000:41:00.1 are of one device
      40:01.1 43:00.0 | 3 HOST BUS direct direct | kernel: 0000:40:01.1 redirects
      43:00.0 46:00.0 | 6 HOST HOST root root | kernel: no bridge is above both; AuthenticAMD family 19h forwards between its root ports
      46:00.0 45:00.0 | 6 HOST HOST root root | vfio: AuthenticAMD family 19h forwards
      01:00.0 02:00.0 | 4 HOST HOST root root | kernel: AuthenticAMD family 19h
      02:00.0 03:00.0 | 4 HOST HOST root root | kernel: AuthenticAMD family 19h
      01:00.0 46:00.0 | 4 HOST HOST root root | kernel: AuthenticAMD family 19h
      00:00.0 01:00.0 | 3 HOST HOST root root | kernel: AuthenticAMD family 19h
      46:00.0 46:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
  {
    machine: "epyc",
    but: ACS_ON,
    rows: `
      43:00.0 44:00.0 | 4 HOST HOST root root | vfio: 0000:42:01.0 redirects requests (ACS Request Redirect); 0000:42:00.0 redirects completions (ACS Completion Redirect) unless the client marks its reads as Relaxed Ordering; AuthenticAMD family 19h forwards
      45:00.0 43:00.0 | 4 HOST HOST root root | kernel: 0000:42:02.0 redirects`,
  },
  {
    machine: "epyc",
    but: { "AuthenticAMD 25": "AuthenticAMD 23" },
    rows: `
      01:00.0 02:00.0 | 4 HOST HOST root root | kernel: AuthenticAMD family 17h`,
  },
  {
    machine: "epyc",
    but: { "AuthenticAMD 25": "AuthenticAMD 22" },
    rows: `
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:00 (1022:14a4) is not known
      43:00.0 41:00.1 | 4 NO BUS? unstated unstated | kernel: 0000:40:01.1 redirects
      43:00.0 44:00.0 | 4 BUS BUS direct direct | kernel: 0000:41:00.0 is above both`,
  },
  {
    machine: "epyc",
    but: { "AuthenticAMD 25": "HygonGenuine 24" },
    rows: `
      # Of the same family, of another vendor.
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: is not known to forward
      46:00.0 01:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:40 (1022:14a4) is not known`,
  },
  {
    machine: "epyc",
    but: NO_IOMMU,
    rows: `
      43:00.0 44:00.0 | 4 BUS NO direct direct | vfio: 0000:44:00.0 has no IOMMU group
      01:00.0 02:00.0 | 4 HOST NO root root | vfio: intel_iommu=on or amd_iommu=on`,
  },
  {
    machine: "epyc",
    but: { "cpu AuthenticAMD 25": "cpu - 0" },
    rows: `
      01:00.0 02:00.0 | 4 ? HOST? root root | kernel: the processor is not known
      43:00.0 44:00.0 | 4 BUS BUS direct direct | kernel: 0000:41:00.0 is above both`,
  },
  {
    machine: "epyc",
    but: CUT,
    rows: `
      01:00.0 46:00.0 | 4 HOST HOST root root | kernel: AuthenticAMD family 19h
      43:00.0 44:00.0 | 4 ? ?? unknown unknown | vfio: whether 0000:42:01.0 redirects is not known`,
  },
  {
    machine: "cascade",
    rows: `
      05:00.0 06:00.0 | 4 HOST HOST root root | kernel: 0000:04:00.0 redirects
      # Requests come in by the client's port, completions by the provider's.
      05:00.0 07:00.0 | 4 HOST HOST direct root | route: 0000:04:00.0 redirects completions
      07:00.0 05:00.0 | 4 HOST HOST root direct | route: 0000:04:00.0 redirects requests
      # Completion Redirect at the client's port: no completion comes in there.
      07:00.0 08:00.0 | 4 HOST BUS direct direct | kernel: 0000:04:03.0 redirects completions (ACS Completion Redirect); AuthenticAMD
      08:00.0 07:00.0 | 4 HOST HOST direct root | vfio: 0000:04:03.0 redirects completions
      # Redirect in the lower switch only, where up is the only way: the kernel counts it all the same.
      05:00.0 0c:00.0 | 6 HOST BUS direct direct | kernel: 0000:04:00.0 redirects requests and completions
      0c:00.0 05:00.0 | 6 HOST BUS direct direct | vfio: 0000:01:00.0 is above both, and neither way below it redirects
      0c:00.0 08:00.0 | 6 HOST BUS direct direct | kernel: 0000:04:03.0 redirects completions
      08:00.0 0c:00.0 | 6 HOST BUS direct direct | kernel: 0000:04:03.0 redirects completions
      # Source Validation and Upstream Forwarding are no redirect.
      0c:00.0 07:00.0 | 6 BUS BUS direct direct | kernel: 0000:01:00.0 is above both
      07:00.0 0c:00.0 | 6 BUS BUS direct direct | kernel: 0000:01:00.0 is above both
      # One kind of redirect on one side.
      0c:00.0 09:00.0 | 4 HOST HOST root direct | route: 0000:02:01.0 redirects requests (ACS Request Redirect)
      09:00.0 0c:00.0 | 4 HOST BUS direct direct | kernel: 0000:02:01.0 redirects requests (ACS Request Redirect)
      0a:00.0 0c:00.0 | 4 HOST HOST direct root | route: 0000:02:02.0 redirects completions
      0c:00.0 0a:00.0 | 4 HOST BUS direct direct | kernel: 0000:02:02.0 redirects completions
      # Egress Control without redirect: ports 1 and 4 are out of reach, the others are not.
      0c:00.0 0b:00.0 | 4 HOST NO blocked direct | vfio: 0000:02:03.0 blocks requests to 0000:02:04.0 (ACS Egress Control)
      09:00.0 0b:00.0 | 4 HOST NO blocked direct | route: 0000:02:03.0 blocks requests to 0000:02:01.0 (ACS Egress Control)
      07:00.0 0b:00.0 | 6 HOST BUS direct direct | kernel: 0000:02:03.0 redirects requests (ACS Egress Control)
      0a:00.0 0b:00.0 | 4 HOST HOST direct root | route: 0000:02:02.0 redirects completions
      # The upstream port is no peer.
      01:00.0 0b:00.0 | 2 HOST BUS direct direct | route: 0000:01:00.0 is above both
      0b:00.0 0c:00.0 | 4 HOST BUS direct direct | kernel: 0000:02:03.0 redirects requests (ACS Egress Control)
      # The client's Completion Redirect, the provider's Request Redirect: neither is asked.
      09:00.0 0a:00.0 | 4 HOST BUS direct direct | kernel: 0000:02:01.0 redirects requests (ACS Request Redirect); 0000:02:02.0 redirects completions
      0a:00.0 09:00.0 | 4 HOST HOST root root | route: 0000:02:01.0 redirects requests (ACS Request Redirect); 0000:02:02.0 redirects completions
      0b:00.0 09:00.0 | 4 HOST HOST root direct | kernel: 0000:02:03.0 redirects requests (ACS Egress Control); 0000:02:01.0
      08:00.0 09:00.0 | 6 HOST HOST root direct | route: 0000:02:01.0 redirects requests
      09:00.0 08:00.0 | 6 HOST BUS direct direct | kernel: 0000:02:01.0 redirects
      06:00.0 0a:00.0 | 6 HOST BUS direct direct | kernel: 0000:04:01.0 redirects
      0a:00.0 06:00.0 | 6 HOST HOST direct root | route: 0000:02:02.0 redirects completions
      # Ports as clients or providers.
      05:00.0 02:00.0 | 3 HOST BUS direct direct | kernel: 0000:04:00.0 redirects
      03:00.0 05:00.0 | 2 HOST HOST root direct | route: 0000:04:00.0 redirects requests
      00:00.0 05:00.0 | 7 HOST HOST root root | kernel: no bridge is above both
      0b:00.0 0b:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own
      # Itself a redirecting port: the kernel counts the provider's own ACS, the route never leaves it.
      02:01.0 02:01.0 | 0 HOST BUS internal internal | kernel: 0000:02:01.0 redirects requests`,
  },
  {
    machine: "cascade",
    but: { "acs=ec": "acs=rr+ec" },
    rows: `
      # Redirect where the vector has the port, straight on where it has not.
      0c:00.0 0b:00.0 | 4 HOST HOST root direct | route: 0000:02:03.0 redirects requests (ACS Request Redirect, Egress Control)
      07:00.0 0b:00.0 | 6 HOST BUS direct direct | kernel: 0000:02:03.0 redirects requests (ACS Request Redirect, Egress Control)
      01:00.0 0b:00.0 | 2 HOST HOST root direct | route: 0000:02:03.0 redirects requests`,
  },
  {
    machine: "cascade",
    but: { "AuthenticAMD 23": "GenuineIntel 6" },
    rows: `
      # Nobody vouches for this root complex, and VFIO has no need of it below the upper switch.
      05:00.0 0c:00.0 | 6 NO BUS direct direct | kernel: 0000:04:00.0 redirects requests and completions (ACS Request Redirect, Completion Redirect); host bridge pci0000:00 (1022:1480) is not known to forward
      05:00.0 06:00.0 | 4 NO HOST? root root | vfio: 0000:04:01.0 redirects requests (ACS Request Redirect); 0000:04:00.0 redirects completions (ACS Completion Redirect) unless the client marks its reads as Relaxed Ordering; host bridge pci0000:00 (1022:1480) is not known to forward; VFIO does not check
      05:00.0 07:00.0 | 4 NO HOST? direct root | vfio: 0000:04:00.0 redirects completions
      0c:00.0 07:00.0 | 6 BUS BUS direct direct | kernel: 0000:01:00.0 is above both`,
  },
  {
    machine: "broadwell",
    rows: `
      05:00.0 06:00.0 | 4 BUS BUS direct direct | kernel: 0000:03:00.0 is above both
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:00 (8086:6f00) is not known to forward
      05:00.0 01:00.0 | 6 NO HOST? root root | vfio: host bridge pci0000:00 (8086:6f00) is not known to forward; VFIO does not check that
      01:00.0 81:00.0 | 4 NO HOST? root root | kernel: pci0000:00 (8086:6f00)
      81:00.0 01:00.0 | 4 NO HOST? root root | kernel: pci0000:80 (8086:6f04)
      81:00.0 81:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
  {
    machine: "broadwell",
    but: ACS_ON,
    rows: `
      05:00.0 06:00.0 | 4 NO HOST? root root | kernel: 0000:04:08.0 redirects requests and completions
      06:00.0 05:00.0 | 4 NO HOST? root root | vfio: 0000:04:08.0 redirects requests (ACS Request Redirect)`,
  },
  {
    machine: "broadwell",
    but: NO_IOMMU,
    rows: `
      05:00.0 06:00.0 | 4 BUS NO direct direct | vfio: has no IOMMU group
      01:00.0 02:00.0 | 4 NO NO root root | vfio: has no IOMMU group`,
  },
  {
    machine: "broadwell",
    but: { "cpu ": "cut\niommu off\ncpu " },
    rows: `
      # No registers decide what has no IOMMU group.
      05:00.0 06:00.0 | 4 ? NO unknown unknown | vfio: 0000:06:00.0 has no IOMMU group
      01:00.0 02:00.0 | 4 NO NO root root | kernel: (8086:6f00) is not known`,
  },
  {
    machine: "haswell",
    rows: `
      01:00.0 02:00.0 | 4 HOST HOST root root | kernel: host bridge pci0000:00 (8086:2f00, Intel Xeon E7 v3, E5 v3) is on the kernel's list
      81:00.0 82:00.0 | 4 HOST HOST root root | kernel: pci0000:80 (8086:2f01
      80:00.0 81:00.0 | 3 HOST HOST root root | kernel: is on the kernel's list
      # The same entries, from one host bridge to another.
      01:00.0 81:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:00 (8086:2f00, Intel Xeon E7 v3, E5 v3) is known to forward between its own root ports only
      82:00.0 02:00.0 | 4 NO HOST? root root | vfio: pci0000:80 (8086:2f01, Intel Xeon E7 v3, E5 v3) is known to forward between its own root ports only
      02:00.0 02:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
  {
    machine: "haswell",
    but: CUT,
    rows: `
      01:00.0 02:00.0 | 4 HOST HOST root root | kernel: is on the kernel's list
      01:00.0 81:00.0 | 4 NO HOST? root root | kernel: between its own root ports only`,
  },
  {
    machine: "haswell",
    but: { "cpu GenuineIntel 6": "cpu - 0" },
    rows: `
      # What the list has needs no processor.
      01:00.0 02:00.0 | 4 HOST HOST root root | kernel: is on the kernel's list
      01:00.0 81:00.0 | 4 ? HOST? root root | kernel: the processor is not known`,
  },
  {
    machine: "icelake",
    rows: `
      17:00.0 31:00.0 | 4 HOST HOST root root | kernel: host bridges pci0000:16 (8086:09a2, Intel Ice Lake-X and later) and pci0000:30
      31:00.0 32:00.0 | 4 HOST HOST root root | kernel: host bridge pci0000:30 (8086:09a2, Intel Ice Lake-X and later) is on
      17:00.0 17:00.1 | 2 HOST BUS? unstated unstated | kernel: 0000:16:02.0 redirects requests
      # Integrated accelerators: one function on the way of each.
      31:00.0 6a:01.0 | 3 HOST HOST root root | kernel: pci0000:6a (8086:09a2
      6a:01.0 6a:02.0 | 2 HOST HOST root root | kernel: host bridge pci0000:6a
      6b:00.0 31:00.0 | 3 HOST HOST root root | kernel: pci0000:6b (8086:4940, Intel QAT)
      # A virtual function of what is on a root bus has no bridge above it either.
      6b:00.0 6b:00.1 | 2 HOST HOST root root | kernel: no bridge is above both; host bridge pci0000:6b (8086:4940, Intel QAT) is on
      6b:00.1 6b:00.2 | 2 HOST HOST root root | kernel: host bridge pci0000:6b
      6b:00.1 6b:00.1 | 0 BUS BUS internal internal | kernel: the memory is its own
      6b:00.1 17:00.0 | 3 HOST HOST root root | kernel: are on the kernel's list
      00:00.1 31:00.0 | 3 HOST HOST root root | kernel: are on the kernel's list
      # One of two is not on the list.
      e1:00.0 31:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:e0 (8086:3450) is not known
      31:00.0 e1:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:e0 (8086:3450) is not known
      e1:00.0 6b:00.2 | 3 NO HOST? root root | vfio: host bridge pci0000:e0 (8086:3450)
      e1:00.0 e1:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
  {
    machine: "icelake",
    but: { "acs=on": "acs=off" },
    rows: `
      17:00.0 17:00.1 | 2 BUS BUS? unstated unstated | kernel: 0000:16:02.0 is above both
      17:00.0 31:00.0 | 4 HOST HOST root root | kernel: no bridge is above both`,
  },
  {
    machine: "icelake",
    but: CUT,
    rows: `
      17:00.0 31:00.0 | 4 HOST HOST root root | kernel: are on the kernel's list
      17:00.0 6a:01.0 | 3 HOST HOST root root | kernel: are on the kernel's list
      17:00.0 17:00.1 | 2 ? ?? unknown unknown | kernel: whether 0000:17:00.0 redirects`,
  },
  {
    machine: "sriov",
    rows: `
      # Where they part is the device itself: that its port redirects concerns the kernel only.
      01:00.0 01:02.0 | 2 HOST BUS? unstated unstated | kernel: 0000:00:01.1 redirects requests
      01:02.0 02:01.0 | 2 HOST BUS? unstated unstated | vfio: 0000:02:01.0 and 0000:01:02.0 are of one device
      01:00.0 01:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own
      # The functions' own ACS.
      05:00.0 05:00.1 | 2 BUS BUS direct direct | kernel: 0000:04:00.0 is above both
      05:00.0 05:00.2 | 2 HOST HOST root direct | route: 0000:05:00.2 redirects requests (ACS Request Redirect)
      05:00.2 05:00.0 | 2 HOST BUS direct direct | kernel: 0000:05:00.2 redirects requests
      05:00.1 05:00.2 | 2 HOST HOST root direct | vfio: 0000:05:00.2 redirects requests
      05:00.2 05:00.2 | 0 HOST BUS internal internal | kernel: 0000:05:00.2 redirects requests
      05:00.1 06:00.0 | 4 BUS BUS direct direct | kernel: 0000:03:00.0 is above both
      # It has no choice but the port above it, which does not redirect.
      06:00.0 05:00.2 | 4 HOST BUS direct direct | kernel: 0000:05:00.2 redirects
      05:00.1 02:01.0 | 6 HOST HOST root root | kernel: AuthenticAMD family 17h
      01:02.0 06:00.0 | 6 HOST HOST root root | kernel: no bridge is above both`,
  },
  {
    machine: "sriov",
    but: { "acs=rr": "acs=ec egress=1" },
    rows: `
      # Of one device: by Function Number.
      05:00.1 05:00.2 | 2 HOST NO blocked direct | vfio: 0000:05:00.2 blocks requests to 0000:05:00.1 (ACS Egress Control)
      05:00.0 05:00.2 | 2 HOST BUS direct direct | kernel: 0000:05:00.2 redirects requests (ACS Egress Control)`,
  },
  {
    machine: "sriov",
    but: {
      "01:02.0 endpoint 8086:154c nic of=01:00.0":
        "01:02.0 endpoint 8086:154c nic of=01:00.0 acs=ec egress=0",
    },
    rows: `
      # By another bus than its own no function has a number in the vector.
      02:01.0 01:02.0 | 2 HOST ?? unknown unstated | route: whether ACS Egress Control of 0000:01:02.0 holds for 0000:02:01.0 is not known`,
  },
  {
    machine: "domains",
    rows: `
      0000:01:00.0 0000:01:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own
      0000:01:00.0 0001:01:00.0 | 4 HOST HOST root root | kernel: host bridges pci0000:00 (10de:2f95, NVIDIA) and pci0001:00 (10de:2f96, NVIDIA) are
      0000:01:00.0 0003:03:00.0 | 6 NO HOST? root root | kernel: host bridge pci0003:00 (10de:2f99) is not known to forward
      0003:04:00.0 0001:01:00.0 | 6 NO HOST? root root | vfio: VFIO does not check
      0003:03:00.0 0003:04:00.0 | 4 BUS BUS direct direct | kernel: 0003:01:00.0 is above both
      0000:00:00.0 0001:01:00.0 | 3 HOST HOST root root | kernel: are on the kernel's list`,
  },
  {
    machine: "domains",
    but: { "cpu 0x41 0": "cpu - 0" },
    rows: `
      0000:01:00.0 0003:03:00.0 | 6 ? HOST? root root | kernel: host bridge pci0003:00 (10de:2f99) is not known to forward, and the processor is not known`,
  },
  {
    machine: "vmd",
    rows: `
      10000:01:00.0 10000:02:00.0 | 4 HOST NO root root | vfio: 10000:02:00.0 is behind Intel VMD
      10000:05:00.0 10000:06:00.0 | 4 BUS NO direct direct | vfio: 10000:06:00.0 is behind Intel VMD 0000:17:05.5, whose requester ID all requests carry: turn VMD off in the firmware
      10000:05:00.0 10000:05:00.0 | 0 BUS NO internal internal | vfio: 10000:05:00.0 is behind Intel VMD 0000:17:05.5
      10000:05:00.0 10000:01:00.0 | 6 HOST NO root root | kernel: host bridge pci10000:00 (8086:2030, Intel Skylake-E) is on the kernel's list
      # One of the two is enough.
      10000:01:00.0 18:00.0 | 4 HOST NO root root | vfio: 10000:01:00.0 is behind Intel VMD
      18:00.0 10000:05:00.0 | 6 HOST NO root root | vfio: 10000:05:00.0 is behind Intel VMD
      18:00.0 d8:00.0 | 4 HOST HOST root root | kernel: host bridges pci0000:17 (8086:2030, Intel Skylake-E) and pci0000:d7
      # The VMD function itself is in front of it.
      17:05.5 18:00.0 | 3 HOST HOST root root | kernel: host bridge pci0000:17
      10001:01:00.0 17:05.5 | 3 HOST NO root root | vfio: 10001:01:00.0 is behind Intel VMD 0000:d7:05.5
      # First on that root bus is a root port at device 3.
      10001:01:00.0 10000:01:00.0 | 4 HOST NO root root | kernel: host bridges pci10001:00 (8086:2033, Intel Skylake-E) and pci10000:00`,
  },
  {
    machine: "vmd",
    but: CUT,
    rows: `
      # Whether that is a root port cannot be read.
      10001:01:00.0 10000:01:00.0 | 4 ? NO root root | kernel: whether host bridge pci10001:00 (8086:2033, Intel Skylake-E) forwards is not known: its configuration space was cut short (run as root)
      d8:00.0 10001:01:00.0 | 4 ? NO root root | kernel: whether host bridge pci10001:00
      10000:01:00.0 10000:02:00.0 | 4 HOST NO root root | kernel: is on the kernel's list
      18:00.0 d8:00.0 | 4 HOST HOST root root | kernel: are on the kernel's list`,
  },
  {
    machine: "vmd",
    but: NO_IOMMU,
    rows: `
      18:00.0 d8:00.0 | 4 HOST NO root root | vfio: 0000:d8:00.0 has no IOMMU group`,
  },
  {
    machine: "opteron",
    rows: `
      01:00.0 02:00.0 | 4 NO HOST? root root | kernel: host bridge pci0000:00 (1002:5a10) is not known to forward
      02:00.0 00:02.0 | 3 NO HOST? root root | kernel: (1002:5a10)
      01:00.0 01:00.0 | 0 BUS BUS internal internal | kernel: the memory is its own`,
  },
];
