/**
 * What p2pmem reads of QEMU's controllers against what nvme-cli prints of them under the kernel's
 * driver. Runs inside the lab only: it lends the controllers to that driver.
 *
 * All that nvme-cli prints is compared, but for what follows.
 * - Text is padded with spaces in the structures, which nvme-cli prints and p2pmem does not.
 * - SMART counters move on, as the kernel's driver reads the disk in between.
 * - `nvme show-regs` maps BAR 0 through sysfs, which kernels with CONFIG_IO_STRICT_DEVMEM (Debian's)
 *   refuse for a device that has a driver. Of registers the kernel shows CMBLOC and CMBSZ: compared.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { identifyJson } from "#lib/cli/output/identify-data.js";
import { BindPlan } from "#lib/host/bind.js";
import { Host, pciPath } from "#lib/host/host.js";
import { UnbindPlan } from "#lib/host/unbind.js";
import { SMART_FIELDS, type SmartLog } from "#lib/nvme/admin/log-pages.js";
import type { NvmLimitFields } from "#lib/nvme/admin/nvm-limits.js";
import { parseBdf, type Bdf } from "#lib/pci/bdf.js";
import { Session } from "#lib/session.js";
import { p2pmem } from "../support/command.js";

const host = new Host();

type Json = Record<string, unknown>;

async function identify(...args: string[]): Promise<Json> {
  const { code, stdout, stderr } = await p2pmem(
    "identify",
    "--platform",
    "vfio",
    "--json",
    ...args,
  );
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Json;
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function nvmeCli(command: string, device: string, ...options: string[]): Json {
  return JSON.parse(run("nvme", command, device, ...options, "--output-format=json")) as Json;
}

/** `nvme0` of a PCI function, once the driver has it and its namespaces. */
async function controllerOf(address: Bdf, namespaces: readonly number[]): Promise<string> {
  for (;;) {
    const [name] = host.list(pciPath(address, "nvme"));
    const isThere = (nsid: number): boolean => existsSync(`/dev/${name}n${nsid}`);
    if (name !== undefined && namespaces.every(isThere)) return name;
    await delay(20);
  }
}

/** The same object with other names for some keys. */
function renamed(object: Json, names: Readonly<Record<string, string>>): Json {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [names[key] ?? key, value]),
  );
}

/** Those of `all` that `printed` has, so that a key that is missing there shows as a difference. */
function sameKeys(printed: Json, all: Json): Json {
  return Object.fromEntries(Object.keys(printed).map((key) => [key, all[key]]));
}

function trimmed(object: Json): Json {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [
      key,
      typeof value === "string" ? value.trimEnd() : value,
    ]),
  );
}

const POWER_STATE_NAMES = {
  max_power: "mp",
  entry_lat: "enlat",
  exit_lat: "exlat",
  read_tput: "rrt",
  read_lat: "rrl",
  write_tput: "rwt",
  write_lat: "rwl",
  idle_power: "idlp",
  active_power: "actp",
};

/** nvme-cli takes the bytes of idle and active power scale apart. */
function powerState(state: Json): Json {
  const aps = Number(state.aps);
  return {
    ...state,
    idle_scale: Number(state.ips) >> 6,
    active_scale: aps >> 6,
    active_power_work: aps & 7,
  };
}

for (const name of ["NVME1", "NVME_CMB", "NVME2"])
  describe(`what p2pmem identify prints of ${name}, and nvme-cli under the kernel's driver`, () => {
    let address: Bdf;
    let controller: Json;
    let registers: Json;
    let smart: SmartLog;
    let limits: NvmLimitFields;
    const namespaces = new Map<number, Json>();
    let device: string;

    before(async () => {
      address = parseBdf(process.env[name] ?? "");
      const report = await identify(address);
      controller = report.controller as Json;
      registers = (await identify(address, "--regs")).registers as Json;
      {
        await using session = await Session.open({ platform: "vfio" });
        const { admin, namespaces: found } = await session.controller(address);
        // By the command for one of all only: a process takes seconds to start here.
        const known = { version: "", platform: session.platform.kind, address };
        for (const { nsid, identity } of found) {
          const data = identifyJson({ ...known, namespace: { nsid, identity, descriptors: null } });
          namespaces.set(nsid, (JSON.parse(data) as Json).namespace as Json);
        }
        const listed = report.namespaces as { nsid: number }[];
        assert.deepEqual(
          [...namespaces.keys()],
          listed.map(({ nsid }) => nsid),
        );
        smart = await admin.smart();
        limits = await admin.nvmLimits();
      }
      if (name === "NVME1") {
        const { descriptors, ...printed } = (await identify(`${address}/1`)).namespace as Json;
        assert.ok(descriptors);
        assert.deepEqual({ ...printed, descriptors: null }, namespaces.get(1));
      }
      run("modprobe", "nvme");
      new UnbindPlan(host, [address]).run();
      device = await controllerOf(address, [...namespaces.keys()]);
    });

    after(() => {
      new BindPlan(host, [address], {}).run();
    });

    it("is the same controller, in every field", () => {
      const { psds, ...fields } = nvmeCli("id-ctrl", `/dev/${device}`);
      assert.ok(Object.keys(fields).length > 80);
      assert.deepEqual(sameKeys(fields, controller), trimmed(fields));
      assert.deepEqual(
        (controller.psds as Json[]).map(powerState).map((state, index) => {
          const printed = renamed((psds as Json[])[index] ?? {}, POWER_STATE_NAMES);
          return sameKeys(printed, state);
        }),
        (psds as Json[]).map((state) => renamed(state, POWER_STATE_NAMES)),
      );
    });

    it("are the same namespaces, in every field and format", () => {
      assert.ok(namespaces.size > 0);
      for (const [nsid, namespace] of namespaces) {
        // By the controller: the kernel numbers the disks in the order in which it finds them.
        const id = `--namespace-id=${nsid}`;
        const { lbafs, ...fields } = nvmeCli("id-ns", `/dev/${device}`, id);
        assert.ok(Object.keys(fields).length > 30);
        assert.deepEqual(sameKeys(fields, namespace), fields);
        assert.deepEqual(
          namespace.lbafs,
          (lbafs as Json[]).map((format) => renamed(format, { ds: "lbads" })),
        );
      }
    });

    it("are the same limits of NVM commands", () => {
      const printed = nvmeCli("nvm-id-ctrl", `/dev/${device}`);
      assert.deepEqual({ ...limits, dmsl: Number(limits.dmsl) }, printed);
    });

    it("is the same health, and counters that have not gone back", () => {
      const printed = nvmeCli("smart-log", `/dev/${device}`);
      const kinds = new Map<string, string>(SMART_FIELDS.map(([field, , , kind]) => [field, kind]));
      for (const [field, value] of Object.entries(printed)) {
        const ours = (smart as Readonly<Record<string, number | bigint>>)[field];
        if (kinds.get(field) === "wide") assert.ok(BigInt(value as string) >= ours!, field);
        else assert.equal(ours, value, field);
      }
    });

    it("are the same CMBLOC and CMBSZ", () => {
      const file = `/sys/class/nvme/${device}/cmb`;
      const { CMBLOC, CMBSZ } = registers as Record<string, { value: string }>;
      const shown = existsSync(file) ? readFileSync(file, "utf8") : "cmbloc : 0x0\ncmbsz : 0x0\n";
      const values = [...shown.matchAll(/0x[0-9a-f]+/g)].map(([value]) => Number(value));
      assert.deepEqual([Number(CMBLOC!.value), Number(CMBSZ!.value)], values);
      assert.equal(existsSync(file), name === "NVME_CMB");
    });
  });
