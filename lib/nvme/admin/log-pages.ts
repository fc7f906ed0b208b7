/** Log pages (NVMe 1.4 §5.14.1), by names as nvme-cli has them where the specification has none. */
import { statusName } from "../status.js";
import { decodeFields, type Fields } from "./fields.js";

/** Bytes of the log pages, of an entry where that is for the controller to say. */
export const LOG_BYTES = {
  SUPPORTED: 1024,
  ERROR_ENTRY: 64,
  SMART: 512,
  FIRMWARE_SLOT: 512,
  CHANGED_NAMESPACES: 4096,
  COMMAND_EFFECTS: 4096,
} as const;

export const ERROR_FIELDS = [
  ["error_count", 0, 8, "wide"],
  ["sqid", 8, 2, "number"],
  ["cmdid", 10, 2, "number"],
  ["status_field", 12, 2, "hex"],
  ["parm_error_location", 14, 2, "hex"],
  ["lba", 16, 8, "wide"],
  ["nsid", 24, 4, "number"],
  ["vs", 28, 1, "number"],
  ["trtype", 29, 1, "number"],
  ["cs", 32, 8, "wide"],
  ["trtype_spec_info", 40, 2, "number"],
] as const;

/** An error as the controller has logged it (figure 193); `status`: the specification's name. */
export type ErrorLogEntry = Fields<typeof ERROR_FIELDS> & { readonly status: string };

/** Latest first, without the entries that are not in use: their count is 0. */
export function decodeErrorLog(data: DataView): ErrorLogEntry[] {
  const entries = [];
  for (let at = 0; at < data.byteLength; at += LOG_BYTES.ERROR_ENTRY) {
    const entry = decodeFields(ERROR_FIELDS, data, at);
    // Bit 0 is the phase tag, the rest as in a completion.
    if (entry.error_count !== 0n)
      entries.push({ ...entry, status: statusName(entry.status_field >>> 1) });
  }
  return entries;
}

/** SMART / Health Information (figure 194). Temperatures are kelvins. */
export const SMART_FIELDS = [
  ["critical_warning", 0, 1, "hex"],
  ["temperature", 1, 2, "number"],
  ["avail_spare", 3, 1, "number"],
  ["spare_thresh", 4, 1, "number"],
  ["percent_used", 5, 1, "number"],
  ["endurance_grp_critical_warning_summary", 6, 1, "hex"],
  ["data_units_read", 32, 16, "wide"],
  ["data_units_written", 48, 16, "wide"],
  ["host_read_commands", 64, 16, "wide"],
  ["host_write_commands", 80, 16, "wide"],
  ["controller_busy_time", 96, 16, "wide"],
  ["power_cycles", 112, 16, "wide"],
  ["power_on_hours", 128, 16, "wide"],
  ["unsafe_shutdowns", 144, 16, "wide"],
  ["media_errors", 160, 16, "wide"],
  ["num_err_log_entries", 176, 16, "wide"],
  ["warning_temp_time", 192, 4, "number"],
  ["critical_comp_time", 196, 4, "number"],
  ["temperature_sensor_1", 200, 2, "number"],
  ["temperature_sensor_2", 202, 2, "number"],
  ["temperature_sensor_3", 204, 2, "number"],
  ["temperature_sensor_4", 206, 2, "number"],
  ["temperature_sensor_5", 208, 2, "number"],
  ["temperature_sensor_6", 210, 2, "number"],
  ["temperature_sensor_7", 212, 2, "number"],
  ["temperature_sensor_8", 214, 2, "number"],
  ["thm_temp1_trans_count", 216, 4, "number"],
  ["thm_temp2_trans_count", 220, 4, "number"],
  ["thm_temp1_total_time", 224, 4, "number"],
  ["thm_temp2_total_time", 228, 4, "number"],
] as const;

export type SmartLog = Fields<typeof SMART_FIELDS>;

export function decodeSmart(data: DataView): SmartLog {
  return decodeFields(SMART_FIELDS, data);
}

const FIRMWARE_FIELDS = [
  ["afi", 0, 1, "hex"],
  ["frs1", 8, 8, "text"],
  ["frs2", 16, 8, "text"],
  ["frs3", 24, 8, "text"],
  ["frs4", 32, 8, "text"],
  ["frs5", 40, 8, "text"],
  ["frs6", 48, 8, "text"],
  ["frs7", 56, 8, "text"],
] as const;

/** Firmware Slot Information (figure 195): the active slot in AFI bits 2:0, a revision for each. */
export type FirmwareSlots = Fields<typeof FIRMWARE_FIELDS>;

export function decodeFirmwareSlots(data: DataView): FirmwareSlots {
  return decodeFields(FIRMWARE_FIELDS, data);
}

/** What a command may do (figure 198). */
export interface CommandEffects {
  /** Logical block content, namespace capability, namespace inventory, controller capability. */
  lbcc: boolean;
  ncc: boolean;
  nic: boolean;
  ccc: boolean;
  /** 0: none; 1: alone on its namespace; 2: alone. */
  cse: number;
}

/** By opcode; commands that the controller does not have are missing. */
export interface SupportedCommands {
  admin: Map<number, CommandEffects>;
  io: Map<number, CommandEffects>;
}

const OPCODES = 256;

export function decodeCommandEffects(data: DataView): SupportedCommands {
  const half = (start: number): Map<number, CommandEffects> => {
    const commands = new Map<number, CommandEffects>();
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      const effects = data.getUint32(start + 4 * opcode, true);
      const has = (bit: number): boolean => ((effects >>> bit) & 1) === 1;
      if (!has(0)) continue;
      const cse = (effects >>> 16) & 0x7;
      commands.set(opcode, { lbcc: has(1), ncc: has(2), nic: has(3), ccc: has(4), cse });
    }
    return commands;
  };
  return { admin: half(0), io: half(4 * OPCODES) };
}

/** Identifiers of the log pages that there are: bit 0 of the dword of each (LSUPP). */
export function decodeSupportedLogs(data: DataView): number[] {
  const ids = [];
  for (let id = 0; 4 * id < data.byteLength; id++)
    if ((data.getUint32(4 * id, true) & 1) === 1) ids.push(id);
  return ids;
}
