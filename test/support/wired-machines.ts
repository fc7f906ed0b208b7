/** Two loopback machines in two processes, on one wire, with namespaces in files. */
import { randomBytes, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export interface WiredOptions {
  /** Which machine has the data; the other one's namespace is empty. The client, unless it says else. */
  from?: "client" | "server";
  /** How long each write at the destination takes: milliseconds. */
  writeMs?: number;
  /** Whether each has a p2pmem card beside the NVMe controller and the NIC, below one switch. */
  hasCards?: boolean;
  /** Of the server's controller, or of the NIC there, each in the form of machine files. */
  faults?: { nvme?: string; rnic?: string };
}

export class WiredMachines {
  readonly directory = mkdtempSync(path.join(tmpdir(), "p2pmem-wired-"));
  /** The controller of either machine, which has one namespace. */
  readonly nvme: string;

  constructor(bytes: number, options: WiredOptions = {}) {
    const { from = "client", writeMs = 0, hasCards = false, faults = {} } = options;
    this.nvme = hasCards ? "0000:03:00.0" : "0000:01:00.0";
    writeFileSync(this.path("source.img"), randomBytes(bytes));
    writeFileSync(this.path("destination.img"), "");
    truncateSync(this.path("destination.img"), bytes);
    for (const [name, role] of [
      ["client", "connect"],
      ["server", "listen"],
    ]) {
      const image = name === from ? "source" : "destination";
      const own = name === "server" ? faults : {};
      const slow = writeMs > 0 && image === "destination";
      const wrong = slow ? [`{ on: write, count: 1000000, delay: ${writeMs} }`] : [];
      if (own.nvme !== undefined) wrong.push(own.nvme);
      const devices = [
        `device: nvme, namespaces: [{ file: ${image}.img }], faults: [${wrong.join(", ")}]`,
        ...(hasCards ? ["device: card, memory: 16m"] : []),
        `device: rnic, wire: { ${role}: wire.socket }, faults: [${own.rnic ?? ""}]`,
      ];
      // The NIC stays with the kernel: below the switch each has an IOMMU group of its own.
      const acs = hasCards ? "acs: [sv, rr, cr, uf], " : "";
      const ports = `[${devices.map((device) => `{ ${acs}${device} }`).join(", ")}]`;
      writeFileSync(
        this.path(`${name}.yaml`),
        `root_ports: ${hasCards ? `[{ device: switch, ports: ${ports} }]` : ports}\n`,
      );
    }
  }

  path(name: string): string {
    return path.join(this.directory, name);
  }

  /** Of the command on either machine. */
  args(name: "client" | "server"): string[] {
    return ["--platform", "loopback", "--machine", this.path(`${name}.yaml`)];
  }

  /** Of `p2pmem serve` on the server's machine: its controller's namespace is `scratch`. */
  serveArgs(): string[] {
    return [`scratch=${this.nvme}`, ...this.args("server")];
  }

  get isCopied(): boolean {
    return this.#hash("source") === this.#hash("destination");
  }

  close(): void {
    rmSync(this.directory, { recursive: true });
  }

  #hash(image: string): string {
    return createHash("sha256")
      .update(readFileSync(this.path(`${image}.img`)))
      .digest("hex");
  }
}
