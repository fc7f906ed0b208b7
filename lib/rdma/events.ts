/** What a device tells without being asked (ibv_get_async_event(3)). */

/** ibv_event_type, in the words of libibverbs' ibv_event_type_str(). */
const NAMES = [
  "CQ error",
  "QP fatal error",
  "QP request error",
  "QP access error",
  "communication established",
  "send queue drained",
  "path migrated",
  "path migration error",
  "device fatal error",
  "port active",
  "port error",
  "LID change",
  "P_Key table change",
  "SM change",
  "SRQ error",
  "SRQ limit reached",
  "last WQE reached",
  "client reregistration",
  "GID table change",
  "WQ fatal error",
] as const;

/** ibv_event_type of what this package goes by. */
export const EventType = { DEVICE_FATAL: 8 } as const;

export interface RdmaEvent {
  /** ibv_event_type */
  readonly type: number;
  readonly name: string;
  /** Number of the queue pair that it is about; 0: of none. */
  readonly queuePair: number;
  /** The port that it is about; 0: none. */
  readonly port: number;
}

export function decodeEvent(type: number, queuePair: number, port: number): RdmaEvent {
  return { type, name: NAMES[type] ?? `event ${type}`, queuePair, port };
}
