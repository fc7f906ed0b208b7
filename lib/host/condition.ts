/** What must hold before a driver may lose a device: as a shell would ask, and what was found. */
export interface Condition {
  /** A command that succeeds where it holds. */
  readonly shell: string;
  /** What contradicts it, in words; null where it holds. */
  readonly violation: string | null;
}
