/**
 * NVM Express Base Specification 1.4: names and numbers as the specification has them. Section
 * numbers are those of revision 1.4.
 */

/** §3.1 Controller registers, byte offsets in BAR 0. */
export const Register = {
  CAP: 0x00,
  VS: 0x08,
  INTMS: 0x0c,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ACQ: 0x30,
  CMBLOC: 0x38,
  CMBSZ: 0x3c,
  CMBMSC: 0x50,
  CMBSTS: 0x58,
  PMRCAP: 0xe00,
  PMRCTL: 0xe04,
  PMRSTS: 0xe08,
  PMRMSC: 0xe14,
  /** §3.1.22: SQ 0 tail doorbell; the others follow at a stride of 4 << CAP.DSTRD. */
  SQ0TDBL: 0x1000,
} as const;

/** §3.1.2 Version, of 1.2.0. */
export const VERSION_1_2 = 0x0001_0200;

/** §3.1.5 Controller Configuration. */
export const CC = {
  EN: 1 << 0,
  /** Memory page size 2^(12 + MPS). */
  MPS_SHIFT: 7,
  SHN_MASK: 3 << 14,
  SHN_NORMAL: 1 << 14,
  /** Entry sizes as powers of two. */
  IOSQES_SHIFT: 16,
  IOCQES_SHIFT: 20,
} as const;

/** §3.1.6 Controller Status. */
export const CSTS = {
  RDY: 1 << 0,
  CFS: 1 << 1,
  SHST_MASK: 3 << 2,
  SHST_COMPLETE: 2 << 2,
} as const;

/** §3.1.11 CMBLOC: the bits from 3 on. What one names need not lie together; else it must (§4.7). */
export const CMBLOC_FREEDOMS = ["CQMMS", "CQPDS", "CDPMLS", "CDPCILS", "CDMMMS", "CQDA"] as const;
/** §3.1.12 CMBSZ: the bits from 0 on. */
export const CMBSZ_ABILITIES = ["SQS", "CQS", "LISTS", "RDS", "WDS"] as const;
/** §3.1.16 Controller Memory Buffer Memory Space Control, low half. */
export const CMBMSC = { CRE: 1 << 0, CMSE: 1 << 1 } as const;
/** §3.1.17 Controller Memory Buffer Status. */
export const CMBSTS = { CBAI: 1 << 0 } as const;
/** §3.1.23 Persistent Memory Region Capabilities. */
export const PMRCAP = {
  RDS: 1 << 3,
  WDS: 1 << 4,
  /** PMRWBM bit 0: when a read of any place in it has returned, all earlier writes are safe. */
  BARRIER_BY_READ: 1 << 10,
  /** PMRWBM bit 1: the same for a read of PMRSTS. */
  BARRIER_BY_STATUS: 1 << 11,
  CMSS: 1 << 24,
} as const;
/** §3.1.24 Persistent Memory Region Control. */
export const PMRCTL = { EN: 1 << 0 } as const;
/** §3.1.25 Persistent Memory Region Status. */
export const PMRSTS = { ERR_MASK: 0xff, NRDY: 1 << 8, HSTS_SHIFT: 9, CBAI: 1 << 12 } as const;
/** PMRSTS.HSTS; further values are reserved. */
export const PMR_HEALTH = ["normal", "restore error", "read only", "unreliable"] as const;
/** §3.1.28 Persistent Memory Region Memory Space Control, low half. */
export const PMRMSC = { CMSE: 1 << 1 } as const;

/** §4.2 and §4.6: bytes of a queue entry, and their powers of two for CC. */
export const SQE_BYTES = 64;
export const CQE_BYTES = 16;
export const SQE_SHIFT = 6;
export const CQE_SHIFT = 4;

/** CC.MPS = 0: bytes in a memory page, the unit of PRP entries (§4.3). */
export const PAGE = 4096;
/** §4.3: bytes of a PRP entry. */
export const PRP_BYTES = 8;

/** §4.2 Command dword 0: PSDT, the data pointer is an SGL and the metadata pointer, if any, is none. */
export const SQE_PSDT_SGL = 1 << 14;
/** §4.4: bytes of an SGL descriptor, and where its type is in the last of its four dwords. */
export const SGL_BYTES = 16;
export const SGL_TYPE_SHIFT = 28;
/** §4.4 figure 114: SGL descriptor types. */
export const SglType = { DATA_BLOCK: 0, BIT_BUCKET: 1, SEGMENT: 2, LAST_SEGMENT: 3 } as const;

/** §5 Admin command opcodes. */
export const AdminOpcode = {
  DELETE_IO_SQ: 0x00,
  CREATE_IO_SQ: 0x01,
  GET_LOG_PAGE: 0x02,
  DELETE_IO_CQ: 0x04,
  CREATE_IO_CQ: 0x05,
  IDENTIFY: 0x06,
  ABORT: 0x08,
  SET_FEATURES: 0x09,
  GET_FEATURES: 0x0a,
  ASYNC_EVENT_REQUEST: 0x0c,
  DOORBELL_BUFFER_CONFIG: 0x7c,
} as const;

/** §6 NVM command opcodes. */
export const IoOpcode = {
  FLUSH: 0x00,
  WRITE: 0x01,
  READ: 0x02,
  COMPARE: 0x05,
  WRITE_ZEROES: 0x08,
  DATASET_MANAGEMENT: 0x09,
} as const;

/** §6.15, §6.16: CDW12 of Write and Write Zeroes; deallocate, force unit access. */
export const CDW12 = { DEAC: 1 << 25, FUA: 1 << 30 } as const;

/** §6.7 Dataset Management: attribute deallocate of CDW11, bytes of a range, ranges in a command. */
export const DSM = { AD: 1 << 2, RANGE_BYTES: 16, MAX_RANGES: 256 } as const;

/** §5.3.1, §5.4.1: CDW11.PC, the queue is physically contiguous. */
export const QUEUE_PC = 1 << 0;
/** §5.3.1, of completion queues: CDW11.IEN, interrupts enabled; the vector's place. */
export const QUEUE_IEN = 1 << 1;
export const QUEUE_IV_SHIFT = 16;

/** §5.15.1 Controller or Namespace Structure. */
export const Cns = {
  NAMESPACE: 0x00,
  CONTROLLER: 0x01,
  ACTIVE_NAMESPACES: 0x02,
  NAMESPACE_DESCRIPTORS: 0x03,
  /** NVMe 2.0 §5.17.2.6: of an I/O command set, which CSI in CDW11 names; 0 is NVM. */
  IO_COMMAND_SET_CONTROLLER: 0x06,
  ALLOCATED_NAMESPACES: 0x10,
} as const;
export const IDENTIFY_BYTES = 4096;

/** §6.1.2: all namespaces, or none in particular. */
export const BROADCAST_NSID = 0xffff_ffff;

/** §5.21.1 figure 275: feature identifiers. */
export const Feature = {
  ARBITRATION: 0x01,
  POWER_MANAGEMENT: 0x02,
  LBA_RANGE_TYPE: 0x03,
  TEMPERATURE_THRESHOLD: 0x04,
  ERROR_RECOVERY: 0x05,
  VOLATILE_WRITE_CACHE: 0x06,
  NUMBER_OF_QUEUES: 0x07,
  INTERRUPT_COALESCING: 0x08,
  INTERRUPT_VECTOR_CONFIGURATION: 0x09,
  WRITE_ATOMICITY: 0x0a,
  ASYNC_EVENT_CONFIGURATION: 0x0b,
  AUTONOMOUS_POWER_STATE_TRANSITION: 0x0c,
  HOST_MEMORY_BUFFER: 0x0d,
  TIMESTAMP: 0x0e,
  KEEP_ALIVE_TIMER: 0x0f,
  HOST_CONTROLLED_THERMAL_MANAGEMENT: 0x10,
  NON_OPERATIONAL_POWER_STATE: 0x11,
  HOST_BEHAVIOR_SUPPORT: 0x16,
  HOST_IDENTIFIER: 0x81,
} as const;
/** §5.13: CDW10.SEL, which value Get Features is to tell. */
export const SELECT = { current: 0, default: 1, saved: 2, capabilities: 3 } as const;
/** §5.21: CDW10.SV, the value outlives a reset. */
export const FEATURE_SAVE = 1 << 31;
/** §5.21.1.25: CDW11.EXHID, the identifier has 16 bytes instead of 8. */
export const EXHID = 1 << 0;

/** §5.14.1 figure 191: log page identifiers. SUPPORTED is NVMe 2.0's (§5.16.1.1). */
export const LogPage = {
  SUPPORTED: 0x00,
  ERROR: 0x01,
  SMART: 0x02,
  FIRMWARE_SLOT: 0x03,
  CHANGED_NAMESPACES: 0x04,
  COMMAND_EFFECTS: 0x05,
} as const;

/** §5.2.1 figure 145: types of asynchronous events. */
export const EventType = { ERROR: 0, HEALTH: 1, NOTICE: 2, IO_COMMAND_SET: 6, VENDOR: 7 } as const;
/** Figure 148: a notice's information. */
export const NAMESPACE_CHANGED = 0x00;
/**
 * §5.21.1.11 figure 282: events that the driver asks for. All critical warnings of NVMe 1.4 but that
 * of a PMR, which not every controller knows; of the notices that of changed namespaces and that of
 * firmware. The latter have the bits of OAES, too.
 */
export const AsyncEventConfiguration = { CRITICAL_WARNINGS: 0x1f, NOTICES: 3 << 8 } as const;
/** §5.21.1.7: the most that may be asked for, as 65,536 is none. */
export const MAX_IO_QUEUES = 65535;

/** §6.9: NLB is 16 bits, 0's based. */
export const MAX_BLOCKS = 65536;

/** §5.15.2.2 figure 247: Optional NVM Command Support. */
export const ONCS = {
  COMPARE: 1 << 0,
  DATASET_MANAGEMENT: 1 << 2,
  WRITE_ZEROES: 1 << 3,
  SAVE_AND_SELECT: 1 << 4,
} as const;
/** The same: Optional Admin Command Support. */
export const OACS = { DOORBELL_BUFFER_CONFIG: 1 << 8 } as const;
/** The same: SGL Support. */
export const SGLS = { SUPPORT_MASK: 3, BIT_BUCKET: 1 << 16 } as const;
/** The same: Log Page Attributes. */
export const LPA = { EXTENDED_DATA: 1 << 2 } as const;
/** §5.15.2.1 figure 245: Deallocate Logical Block Features. */
export const DLFEAT = { DEAC: 1 << 3 } as const;

/** NVM Command Set 1.0 §3.2.2 (formats 2 and 3: 1.1): Copy. */
export const Copy = {
  OPCODE: 0x19,
  /** CDW12: the descriptors' format; below it their number, 0's based. */
  FORMAT_SHIFT: 8,
  /** In a Source Range Entry: SNSID (formats 2 and 3), SLBA, NLB (0's based). */
  SNSID_AT: 0,
  SLBA_AT: 8,
  NLB_AT: 16,
  /** ONCS, and Identify Controller's OCFS: a bit for each format. */
  ONCS_BIT: 1 << 8,
  ONCS_AT: 520,
  OCFS_AT: 534,
  /** Identify Namespace: blocks of a range, blocks of a command, ranges of a command (0's based). */
  MSSRL_AT: 74,
  MCL_AT: 76,
  MSRC_AT: 80,
} as const;

/** NVMe 2.0 §5.27.1.18: the feature Host Behavior Support, its bytes, and CDFE in them. */
export const HostBehavior = { FEATURE: 0x16, BYTES: 512, CDFE_AT: 4 } as const;
