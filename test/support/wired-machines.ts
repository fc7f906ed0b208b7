/** Two loopback machines in two processes, on one wire, with namespaces in files. */
import { randomBytes, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** Of either machine. */
export const WIRED_NVME = "0000:01:00.0";

export class WiredMachines {
  readonly directory = mkdtempSync(path.join(tmpdir(), "p2pmem-wired-"));
  readonly bytes: number;

  /** `writeMs`: how long each write at the destination takes. */
  constructor(bytes: number, writeMs = 0) {
    this.bytes = bytes;
    writeFileSync(this.path("source.img"), randomBytes(bytes));
    writeFileSync(this.path("destination.img"), "");
    truncateSync(this.path("destination.img"), bytes);
    const slow =
      writeMs === 0 ? "" : `, faults: [{ on: write, count: 1000000, delay: ${writeMs} }]`;
    for (const [name, image, role, faults] of [
      ["client", "source", "connect", ""],
      ["server", "destination", "listen", slow],
    ])
      writeFileSync(
        this.path(`${name}.yaml`),
        `root_ports:\n` +
          `  - { device: nvme, namespaces: [{ file: ${image}.img }]${faults} }\n` +
          `  - { device: rnic, wire: { ${role}: wire.socket } }\n`,
      );
  }

  path(name: string): string {
    return path.join(this.directory, name);
  }

  /** Of the command on either machine; see WIRED_NVME. */
  args(name: "client" | "server"): string[] {
    return ["--platform", "loopback", "--machine", this.path(`${name}.yaml`)];
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
