import path from "node:path";
import type { z } from "zod";
import { P2pError } from "../errors.js";
import type { Field } from "../yaml/field.js";
import { YamlSource, type FileKind } from "../yaml/source.js";
import {
  builtinMachines,
  configure,
  machine,
  type MachineConfiguration,
  type PortConfiguration,
} from "./machine-schema.js";

const KIND: FileKind = {
  name: "machine file",
  code: "BAD_MACHINE_FILE",
  document: "docs/machine-file.md",
};

/** A machine file (docs/machine-file.md). */
export class MachineFile {
  readonly configuration: MachineConfiguration;
  readonly #source: YamlSource;

  /** Reads and checks it. Errors: BAD_MACHINE_FILE, with line and field. */
  constructor(file: string) {
    const builtin = Object.keys(builtinMachines).join(", ");
    const hint = `name a file, or one of the built-in machines: ${builtin}`;
    this.#source = YamlSource.read(file, KIND, hint);
    const parsed = machine.safeParse(this.#source.content);
    if (!parsed.success) {
      const issue = parsed.error.issues[0] as z.core.$ZodIssue;
      const field =
        issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : issue.path;
      throw this.#source.mistake(field, issue.message);
    }
    const directory = path.dirname(path.resolve(file));
    this.configuration = configure(path.parse(file).name, parsed.data, directory);
  }

  /**
   * For an error of making the machine: what can be seen only then (files, room in the fabric) as
   * the mistake in this file that it is. Other errors come back as they are.
   */
  explain(error: unknown): unknown {
    if (!(error instanceof P2pError) || !["IO", "BAD_MACHINE"].includes(error.code)) return error;
    const { message, errno, syscall } = error;
    const details = {
      ...(errno === undefined ? {} : { errno }),
      ...(syscall === undefined ? {} : { syscall }),
      cause: error,
    };
    // The message names the file; of names that contain each other the longest is meant.
    const [named] = [...filesOf(this.configuration.rootPorts, ["root_ports"])]
      .filter(({ file }) => message.includes(file))
      .sort((a, b) => b.file.length - a.file.length);
    if (named !== undefined)
      return this.#source.mistake(named.field, message, {
        ...details,
        hint: "name a raw image that can be read and written; with a size it is made, in a directory that exists",
      });
    if (error.code === "IO") return error;
    return this.#source.mistake(["root_ports"], message, {
      ...details,
      hint: "docs/machine-file.md says what a machine has room for",
    });
  }
}

/** The files of all namespaces and persistent memory regions, with the fields that name them. */
function* filesOf(
  ports: PortConfiguration[],
  field: Field,
): Generator<{ file: string; field: Field }> {
  for (const [index, { device }] of ports.entries()) {
    if (device.kind === "switch") yield* filesOf(device.ports, [...field, index, "ports"]);
    if (device.kind !== "nvme") continue;
    if (device.pmr?.file) yield { file: device.pmr.file, field: [...field, index, "pmr", "file"] };
    for (const [number, { file }] of device.namespaces.entries())
      if (file !== null) yield { file, field: [...field, index, "namespaces", number, "file"] };
  }
}
